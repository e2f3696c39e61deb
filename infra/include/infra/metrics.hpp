#pragma once

#include "domain/ingest.hpp"

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <chrono>
#include <string>
#include <string_view>

namespace infra {

// The Prometheus metrics of one process. Every label set is bounded: routes by template, services by the
// registry ("other" for all the rest).
class Metrics {
public:
    Metrics();

    void http_request(std::string_view method, std::string_view route, unsigned status,
                      std::chrono::nanoseconds duration);
    void ingest_batch(std::size_t events, std::chrono::nanoseconds duration);
    void events_stored(std::string_view service, std::size_t count);
    void events_derived(std::string_view service, std::size_t count);
    void delivery(std::string_view outcome);
    void outbox(std::size_t depth, double oldest_unsent_seconds);

    // Text exposition format 0.0.4.
    std::string text() const;

private:
    prometheus::Registry registry_;
    prometheus::Family<prometheus::Counter>& requests_;
    prometheus::Family<prometheus::Histogram>& request_seconds_;
    prometheus::Family<prometheus::Histogram>& batch_events_;
    prometheus::Family<prometheus::Histogram>& batch_seconds_;
    prometheus::Family<prometheus::Counter>& events_;
    prometheus::Family<prometheus::Counter>& derived_;
    prometheus::Family<prometheus::Counter>& deliveries_;
    prometheus::Gauge& depth_;
    prometheus::Gauge& oldest_;
};

}  // namespace infra
