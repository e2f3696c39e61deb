#include "infra/metrics.hpp"

#include "metrics/process_metrics.hpp"

#include <prometheus/text_serializer.h>

#include <algorithm>
#include <mutex>

namespace infra {
namespace {

const prometheus::Histogram::BucketBoundaries seconds = {.0005, .001, .0025, .005, .01, .025, .05,
                                                         .1,    .25,  .5,    1,    2.5, 5,    10};
const prometheus::Histogram::BucketBoundaries sizes = {1, 2, 5, 10, 25, 50, 100, 250, 500, 1000};

prometheus::Family<prometheus::Gauge>& gauge(prometheus::Registry& registry, const char* name,
                                             const char* help)
{
    return prometheus::BuildGauge().Name(name).Help(help).Register(registry);
}

// The default ones of other Prometheus clients, and some for what people wait for.
const prometheus::Histogram::BucketBoundaries long_seconds = {
    .005, .01, .025, .05, .075, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10, 30, 60, 120, 300, 600};

// The orchestrators that were there before Polis gave their metrics this label, and dashboards ask for it.
const prometheus::Labels orchestrator = {{"service", "orchestrator"}};

double in_seconds(std::chrono::nanoseconds duration)
{
    return std::chrono::duration<double>(duration).count();
}

}  // namespace

Metrics::Metrics()
    : requests_(prometheus::BuildCounter()
                    .Name("http_requests_total")
                    .Help("Answered requests.")
                    .Register(registry_)),
      request_seconds_(prometheus::BuildHistogram()
                           .Name("http_request_duration_seconds")
                           .Help("From the end of a request to its answer.")
                           .Register(registry_)),
      batch_events_(prometheus::BuildHistogram()
                        .Name("ingest_batch_events")
                        .Help("Events of one transaction.")
                        .Register(registry_)),
      batch_seconds_(prometheus::BuildHistogram()
                         .Name("ingest_batch_duration_seconds")
                         .Help("Duration of one transaction.")
                         .Register(registry_)),
      events_(prometheus::BuildCounter()
                  .Name("events_stored_total")
                  .Help("Base events stored.")
                  .Register(registry_)),
      derived_(prometheus::BuildCounter()
                   .Name("events_derived_total")
                   .Help("Derived events, by the service of their base event.")
                   .Register(registry_)),
      deliveries_(prometheus::BuildCounter()
                      .Name("outbox_deliveries_total")
                      .Help("Tries by outcome.")
                      .Register(registry_)),
      depth_(prometheus::BuildGauge()
                 .Name("outbox_depth")
                 .Help("Messages neither sent nor dead.")
                 .Register(registry_)
                 .Add({})),
      oldest_(prometheus::BuildGauge()
                  .Name("outbox_oldest_unsent_seconds")
                  .Help("Age of the oldest message that is neither sent nor dead.")
                  .Register(registry_)
                  .Add({})),
      messages_(prometheus::BuildCounter()
                    .Name("consumer_messages_total")
                    .Help("Messages by outcome: stored, duplicate or quarantined.")
                    .Register(registry_)),
      rejections_(prometheus::BuildCounter()
                      .Name("consumer_rejected_total")
                      .Help("Quarantined messages by reason.")
                      .Register(registry_)),
      batch_messages_(prometheus::BuildHistogram()
                          .Name("consumer_batch_messages")
                          .Help("Messages of one transaction.")
                          .Register(registry_)),
      consume_seconds_(prometheus::BuildHistogram()
                           .Name("consumer_batch_duration_seconds")
                           .Help("From handing a batch to the writer to its commit, with all tries.")
                           .Register(registry_)),
      lag_(prometheus::BuildGauge()
               .Name("kafka_consumer_lag")
               .Help("Messages of an assigned partition after the stored position.")
               .Register(registry_)),
      partitions_dropped_(prometheus::BuildCounter()
                              .Name("retention_partitions_dropped_total")
                              .Help("Partitions of events and outbox that this process dropped.")
                              .Register(registry_)),
      partitions_busy_(prometheus::BuildCounter()
                           .Name("retention_lock_timeouts_total")
                           .Help("Times that somebody's lock made the retention give way.")
                           .Register(registry_)),
      partitions_blocked_(prometheus::BuildGauge()
                              .Name("retention_partitions_blocked")
                              .Help("Partitions kept beyond their time because a subscription needs them.")
                              .Register(registry_)),
      rows_removed_(prometheus::BuildCounter()
                        .Name("retention_rows_removed_total")
                        .Help("Rows removed one by one, by table.")
                        .Register(registry_)),
      followers_(prometheus::BuildGauge()
                     .Name("event_stream_followers")
                     .Help("Followers of the stream of events.")
                     .Register(registry_)),
      streamed_(prometheus::BuildCounter()
                    .Name("event_stream_events_total")
                    .Help("Events read for all followers together.")
                    .Register(registry_)),
      stream_ends_(prometheus::BuildCounter()
                       .Name("event_stream_ended_total")
                       .Help("Followers that are gone: left, slow or stopping.")
                       .Register(registry_)),
      subscription_unsent_(gauge(registry_, "outbox_subscription_depth", "Messages neither sent nor dead.")),
      subscription_oldest_(gauge(registry_, "outbox_subscription_oldest_unsent_seconds",
                                 "Age of the oldest message that is neither sent nor dead.")),
      subscription_retrying_(gauge(registry_, "outbox_subscription_retrying",
                                   "Messages that failed or wait behind one that did.")),
      subscription_dead_(gauge(registry_, "outbox_subscription_dead_letters", "Dead letters that are kept.")),
      subscription_workers_(gauge(registry_, "outbox_subscription_workers", "Living workers that serve it.")),
      subscription_circuit_(gauge(registry_, "outbox_subscription_circuit_open",
                                  "1 while the breaker of a worker holds messages back.")),
      writer_queue_(gauge(registry_, "ingest_queue_rows", "Rows that wait for the writer.")),
      pool_(gauge(registry_, "database_pool_connections",
                  "Connections by state, and tasks that wait for one.")),
      pool_refused_(prometheus::BuildCounter()
                        .Name("database_pool_refused_total")
                        .Help("Tasks refused because too many waited.")
                        .Register(registry_))
{
}

Metrics::HttpSeries Metrics::http_series(const HttpKey<std::string_view>& key)
{
    {
        const std::shared_lock lock(series_mutex_);
        const auto found = http_.find(key);
        if (found != http_.end()) return found->second;
    }
    const HttpKey<std::string> owned{std::string(key.method), std::string(key.route), key.status};
    prometheus::Labels place = orchestrator;
    place.insert({{"method", owned.method}, {"path", owned.route}});
    prometheus::Labels counted = place;
    counted.emplace("status", std::to_string(owned.status));
    const HttpSeries made{&requests_.Add(counted), &request_seconds_.Add(place, seconds)};
    const std::unique_lock lock(series_mutex_);
    return http_.emplace(owned, made).first->second;
}

void Metrics::http_request(std::string_view method, std::string_view route, unsigned status,
                           std::chrono::nanoseconds duration)
{
    const bool matched = !route.empty();
    const auto series = http_series({matched ? method : "other", matched ? route : "other", status});
    series.requests->Increment();
    series.seconds->Observe(in_seconds(duration));
}

void Metrics::ingest_batch(std::size_t events, std::chrono::nanoseconds duration)
{
    // Made by the first batch: a program that ingests nothing shows no empty series.
    batch_events_.Add({}, sizes).Observe(static_cast<double>(events));
    batch_seconds_.Add({}, seconds).Observe(in_seconds(duration));
}

prometheus::Counter& Metrics::service_counter(prometheus::Family<prometheus::Counter>& family,
                                              CountersByText& known, std::string_view service)
{
    {
        const std::shared_lock lock(series_mutex_);
        const auto found = known.find(service);
        if (found != known.end()) return *found->second;
    }
    auto& made = family.Add({{"service", std::string(service)}});
    const std::unique_lock lock(series_mutex_);
    known.emplace(service, &made);
    return made;
}

void Metrics::events_stored(std::string_view service, std::size_t count)
{
    service_counter(events_, stored_by_service_, service).Increment(static_cast<double>(count));
}

void Metrics::events_derived(std::string_view service, std::size_t count)
{
    service_counter(derived_, derived_by_service_, service).Increment(static_cast<double>(count));
}

void Metrics::delivery(std::string_view subscription, std::string_view outcome)
{
    deliveries_.Add({{"subscription", std::string(subscription)}, {"outcome", std::string(outcome)}})
        .Increment();
}

Metrics::OutboxGauges& Metrics::outbox_gauges(const std::string& subscription)
{
    auto& gauges = outbox_[subscription];
    if (gauges.unsent != nullptr) return gauges;
    const prometheus::Labels labels{{"subscription", subscription}};
    gauges = {&subscription_unsent_.Add(labels),   &subscription_oldest_.Add(labels),
              &subscription_retrying_.Add(labels), &subscription_dead_.Add(labels),
              &subscription_workers_.Add(labels),  &subscription_circuit_.Add(labels)};
    return gauges;
}

void Metrics::forget_outbox(const OutboxGauges& gauges)
{
    subscription_unsent_.Remove(gauges.unsent);
    subscription_oldest_.Remove(gauges.oldest);
    subscription_retrying_.Remove(gauges.retrying);
    subscription_dead_.Remove(gauges.dead);
    subscription_workers_.Remove(gauges.workers);
    subscription_circuit_.Remove(gauges.circuit);
}

void Metrics::outbox(const std::vector<SubscriptionLag>& subscriptions)
{
    const std::lock_guard lock(outbox_mutex_);
    std::int64_t depth = 0;
    double oldest = 0;
    for (const auto& one : subscriptions) {
        depth += one.unsent;
        oldest = std::max(oldest, one.oldest_unsent_seconds);
        auto& gauges = outbox_gauges(one.subscription);
        gauges.unsent->Set(static_cast<double>(one.unsent));
        gauges.oldest->Set(one.oldest_unsent_seconds);
        gauges.retrying->Set(static_cast<double>(one.retrying));
        gauges.dead->Set(static_cast<double>(one.dead_letters));
        gauges.workers->Set(static_cast<double>(one.workers));
        gauges.circuit->Set(one.circuit_open_since.empty() ? 0 : 1);
    }
    std::erase_if(outbox_, [&](const auto& known) {
        const bool there = std::any_of(subscriptions.begin(), subscriptions.end(),
                                       [&](const auto& one) { return one.subscription == known.first; });
        if (!there) forget_outbox(known.second);
        return !there;
    });
    depth_.Set(static_cast<double>(depth));
    oldest_.Set(oldest);
}

void Metrics::writer_queue(std::size_t rows) { writer_queue_.Add({}).Set(static_cast<double>(rows)); }

void Metrics::database_pool(const PoolState& pool)
{
    pool_.Add({{"state", "busy"}}).Set(static_cast<double>(pool.busy));
    pool_.Add({{"state", "idle"}}).Set(static_cast<double>(pool.connections - pool.busy));
    pool_.Add({{"state", "waited_for"}}).Set(static_cast<double>(pool.waiting));
    auto& refused = pool_refused_.Add({});
    refused.Increment(static_cast<double>(pool.refused) - refused.Value());
}

void Metrics::consumed(std::string_view topic, std::string_view outcome)
{
    messages_.Add({{"topic", std::string(topic)}, {"outcome", std::string(outcome)}}).Increment();
}

void Metrics::rejected(std::string_view topic, std::string_view reason)
{
    rejections_.Add({{"topic", std::string(topic)}, {"reason", std::string(reason)}}).Increment();
}

void Metrics::measured(const std::vector<domain::workflow::Measurement>& measurements)
{
    if (measurements.empty()) return;
    const std::lock_guard lock(mutex_);
    for (const auto& [name, value] : measurements) {
        auto& family = measured_[name];
        if (family == nullptr) {
            family =
                &prometheus::BuildHistogram().Name(name).Help("Measured by a workflow.").Register(registry_);
        }
        family->Add(orchestrator, long_seconds).Observe(value);
    }
}

void Metrics::job(const std::string& name, std::chrono::nanoseconds duration)
{
    const std::lock_guard lock(mutex_);
    if (jobs_ == nullptr) {
        jobs_ = &prometheus::BuildHistogram()
                     .Name("job_duration_seconds")
                     .Help("Events of workflows: from handing a batch to the writer to its commit.")
                     .Register(registry_);
    }
    auto labels = orchestrator;
    labels["job"] = name;
    jobs_->Add(labels, long_seconds).Observe(in_seconds(duration));
}

void Metrics::consumed_batch(std::size_t messages, std::chrono::nanoseconds duration)
{
    batch_messages_.Add({}, sizes).Observe(static_cast<double>(messages));
    consume_seconds_.Add({}, seconds).Observe(in_seconds(duration));
}

void Metrics::consumer_lag(const std::map<domain::PartitionId, std::int64_t>& lag)
{
    for (auto at = lags_.begin(); at != lags_.end();) {
        if (lag.contains(at->first)) {
            ++at;
            continue;
        }
        lag_.Remove(at->second);
        at = lags_.erase(at);
    }
    for (const auto& [id, messages] : lag) {
        auto& gauge = lags_[id];
        if (gauge == nullptr)
            gauge = &lag_.Add(
                {*orchestrator.begin(), {"topic", id.topic}, {"partition", std::to_string(id.number)}});
        gauge->Set(static_cast<double>(messages));
    }
}

// Made by the first look: a program without a retention shows no empty series.
void Metrics::retention(std::size_t dropped, std::size_t busy, std::size_t blocked)
{
    partitions_dropped_.Add({}).Increment(static_cast<double>(dropped));
    partitions_busy_.Add({}).Increment(static_cast<double>(busy));
    partitions_blocked_.Add({}).Set(static_cast<double>(blocked));
}

void Metrics::rows_removed(std::string_view table, std::uint64_t rows)
{
    rows_removed_.Add({{"table", std::string(table)}}).Increment(static_cast<double>(rows));
}

void Metrics::stream_followers(std::size_t count) { followers_.Add({}).Set(static_cast<double>(count)); }

void Metrics::stream_events(std::size_t count) { streamed_.Add({}).Increment(static_cast<double>(count)); }

void Metrics::stream_ended(std::string_view reason)
{
    stream_ends_.Add({{"reason", std::string(reason)}}).Increment();
}

std::string Metrics::text() const
{
    auto families = registry_.Collect();
    metrics::append_process(families);
    return prometheus::TextSerializer().Serialize(families);
}

}  // namespace infra
