#include "infra/metrics.hpp"

#include <prometheus/text_serializer.h>

namespace infra {
namespace {

const prometheus::Histogram::BucketBoundaries seconds = {.0005, .001, .0025, .005, .01, .025, .05,
                                                         .1,    .25,  .5,    1,    2.5, 5,    10};
const prometheus::Histogram::BucketBoundaries sizes = {1, 2, 5, 10, 25, 50, 100, 250, 500, 1000};

// The default ones of other Prometheus clients, and some for what people wait for.
const prometheus::Histogram::BucketBoundaries long_seconds = {
    .005, .01, .025, .05, .075, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10, 30, 60, 120, 300, 600};

// Workflows are told apart from the rest of Polis by the label that their first orchestrator had.
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
                    .Labels(orchestrator)
                    .Register(registry_)),
      request_seconds_(prometheus::BuildHistogram()
                           .Name("http_request_duration_seconds")
                           .Help("From the end of a request to its answer.")
                           .Labels(orchestrator)
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
                    .Name("kafka_messages_total")
                    .Help("Messages by outcome: stored, duplicate or quarantined.")
                    .Register(registry_)),
      rejections_(prometheus::BuildCounter()
                      .Name("kafka_rejected_total")
                      .Help("Quarantined messages by reason.")
                      .Register(registry_)),
      batch_messages_(prometheus::BuildHistogram()
                          .Name("kafka_batch_messages")
                          .Help("Messages of one transaction.")
                          .Register(registry_)),
      consume_seconds_(prometheus::BuildHistogram()
                           .Name("kafka_batch_duration_seconds")
                           .Help("From handing a batch to the writer to its commit, with all tries.")
                           .Register(registry_)),
      lag_(prometheus::BuildGauge()
               .Name("kafka_consumer_lag")
               .Help("Messages of an assigned partition after the stored position.")
               .Labels(orchestrator)
               .Register(registry_))
{
}

void Metrics::http_request(std::string_view method, std::string_view route, unsigned status,
                           std::chrono::nanoseconds duration)
{
    const std::string path(route.empty() ? "other" : route);
    const std::string verb(route.empty() ? "other" : method);
    requests_.Add({{"method", verb}, {"path", path}, {"status", std::to_string(status)}}).Increment();
    request_seconds_.Add({{"method", verb}, {"path", path}}, seconds).Observe(in_seconds(duration));
}

void Metrics::ingest_batch(std::size_t events, std::chrono::nanoseconds duration)
{
    // Made by the first batch: a program that ingests nothing shows no empty series.
    batch_events_.Add({}, sizes).Observe(static_cast<double>(events));
    batch_seconds_.Add({}, seconds).Observe(in_seconds(duration));
}

void Metrics::events_stored(std::string_view service, std::size_t count)
{
    events_.Add({{"service", std::string(service)}}).Increment(static_cast<double>(count));
}

void Metrics::events_derived(std::string_view service, std::size_t count)
{
    derived_.Add({{"service", std::string(service)}}).Increment(static_cast<double>(count));
}

void Metrics::delivery(std::string_view outcome)
{
    deliveries_.Add({{"outcome", std::string(outcome)}}).Increment();
}

void Metrics::outbox(std::size_t depth, double oldest_unsent_seconds)
{
    depth_.Set(static_cast<double>(depth));
    oldest_.Set(oldest_unsent_seconds);
}

void Metrics::consumed(std::string_view topic, std::string_view outcome)
{
    messages_.Add({{"topic", std::string(topic)}, {"outcome", std::string(outcome)}}).Increment();
}

void Metrics::rejected(std::string_view topic, std::string_view reason)
{
    rejections_.Add({{"topic", std::string(topic)}, {"reason", std::string(reason)}}).Increment();
}

void Metrics::measured(const std::string& name, double value)
{
    const std::lock_guard lock(mutex_);
    auto& family = measured_[name];
    if (family == nullptr) {
        family = &prometheus::BuildHistogram().Name(name).Help("Measured by a workflow.").Register(registry_);
    }
    family->Add(orchestrator, long_seconds).Observe(value);
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
            gauge = &lag_.Add({{"topic", id.topic}, {"partition", std::to_string(id.number)}});
        gauge->Set(static_cast<double>(messages));
    }
}

std::string Metrics::text() const { return prometheus::TextSerializer().Serialize(registry_.Collect()); }

}  // namespace infra
