#include "infra/metrics.hpp"

#include <prometheus/text_serializer.h>

namespace infra {
namespace {

const prometheus::Histogram::BucketBoundaries seconds = {.0005, .001, .0025, .005, .01, .025, .05,
                                                         .1,    .25,  .5,    1,    2.5, 5,    10};
const prometheus::Histogram::BucketBoundaries sizes = {1, 2, 5, 10, 25, 50, 100, 250, 500, 1000};

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
                  .Add({}))
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

std::string Metrics::text() const { return prometheus::TextSerializer().Serialize(registry_.Collect()); }

}  // namespace infra
