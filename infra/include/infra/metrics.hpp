#pragma once

#include "domain/ingest.hpp"
#include "domain/stream.hpp"

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <chrono>
#include <cstdint>
#include <map>
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
    void consumed(std::string_view topic, std::string_view outcome);
    void rejected(std::string_view topic, std::string_view reason);
    void consumed_batch(std::size_t messages, std::chrono::nanoseconds duration);
    // Replaces what was told before; partitions that are no longer there disappear.
    void consumer_lag(const std::map<domain::PartitionId, std::int64_t>& lag);

    // One look of the retention; `blocked` replaces what was told before.
    void retention(std::size_t dropped, std::size_t busy, std::size_t blocked);
    void rows_removed(std::string_view table, std::uint64_t rows);

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
    prometheus::Family<prometheus::Counter>& messages_;
    prometheus::Family<prometheus::Counter>& rejections_;
    prometheus::Family<prometheus::Histogram>& batch_messages_;
    prometheus::Family<prometheus::Histogram>& consume_seconds_;
    prometheus::Family<prometheus::Gauge>& lag_;
    prometheus::Family<prometheus::Counter>& partitions_dropped_;
    prometheus::Family<prometheus::Counter>& partitions_busy_;
    prometheus::Family<prometheus::Gauge>& partitions_blocked_;
    prometheus::Family<prometheus::Counter>& rows_removed_;
    std::map<domain::PartitionId, prometheus::Gauge*> lags_;  // one thread tells them
};

}  // namespace infra
