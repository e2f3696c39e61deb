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
#include <mutex>
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
    // What a workflow measured, as a histogram of that name. The names are constants of the workflows' files.
    void measured(const std::string& name, double value);
    // One event of a workflow, from reading it to its commit.
    void job(const std::string& name, std::chrono::nanoseconds duration);
    void consumed_batch(std::size_t messages, std::chrono::nanoseconds duration);
    // Replaces what was told before; partitions that are no longer there disappear.
    void consumer_lag(const std::map<domain::PartitionId, std::int64_t>& lag);

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
    std::mutex mutex_;  // of the families below
    std::map<std::string, prometheus::Family<prometheus::Histogram>*> measured_;
    prometheus::Family<prometheus::Histogram>* jobs_ = nullptr;
    std::map<domain::PartitionId, prometheus::Gauge*> lags_;  // one thread tells them
};

}  // namespace infra
