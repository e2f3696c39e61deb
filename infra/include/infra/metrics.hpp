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
#include <shared_mutex>
#include <string>
#include <string_view>
#include <vector>

namespace infra {

// How one subscription stands, as the database and the workers' leases tell it.
struct SubscriptionLag {
    std::string subscription;
    std::int64_t unsent = 0;  // at most 10,000 of each lane are counted
    bool capped = false;      // so there are more
    double oldest_unsent_seconds = 0;
    std::int64_t retrying = 0;
    std::int64_t dead_letters = 0;
    std::int64_t workers = 0;
    std::string circuit_open_since;  // RFC 3339; empty = closed
};

struct PoolState {
    std::size_t connections = 0;
    std::size_t busy = 0;
    std::size_t waiting = 0;
    std::uint64_t refused = 0;  // since the start
};

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
    void delivery(std::string_view subscription, std::string_view outcome);
    // Of all subscriptions; those that are no longer there disappear.
    void outbox(const std::vector<SubscriptionLag>& subscriptions);
    void writer_queue(std::size_t rows);
    void database_pool(const PoolState& pool);
    void consumed(std::string_view topic, std::string_view outcome);
    void rejected(std::string_view topic, std::string_view reason);
    // What workflows measured, as histograms of those names, which are constants of the workflows' files.
    void measured(const std::vector<domain::workflow::Measurement>& measurements);
    // One event of a workflow, from reading it to its commit.
    void job(const std::string& name, std::chrono::nanoseconds duration);
    void consumed_batch(std::size_t messages, std::chrono::nanoseconds duration);
    // Replaces what was told before; partitions that are no longer there disappear.
    void consumer_lag(const std::map<domain::PartitionId, std::int64_t>& lag);

    // One look of the retention; `blocked` replaces what was told before.
    void retention(std::size_t dropped, std::size_t busy, std::size_t blocked);
    void rows_removed(std::string_view table, std::uint64_t rows);

    void stream_followers(std::size_t count);
    void stream_events(std::size_t count);
    void stream_ended(std::string_view reason);

    // Text exposition format 0.0.4, with the process's own figures.
    std::string text() const;

private:
    struct HttpSeries {
        prometheus::Counter* requests = nullptr;
        prometheus::Histogram* seconds = nullptr;
    };
    // Compares texts with views, so that looking up allocates nothing.
    struct HttpKeyLess {
        using is_transparent = void;
        template <class A, class B>
        bool operator()(const A& a, const B& b) const
        {
            if (a.status != b.status) return a.status < b.status;
            if (const int order = std::string_view(a.route).compare(b.route); order != 0) return order < 0;
            return std::string_view(a.method).compare(b.method) < 0;
        }
    };
    template <class Text>
    struct HttpKey {
        Text method;
        Text route;
        unsigned status = 0;
    };
    struct OutboxGauges {
        prometheus::Gauge* unsent = nullptr;
        prometheus::Gauge* oldest = nullptr;
        prometheus::Gauge* retrying = nullptr;
        prometheus::Gauge* dead = nullptr;
        prometheus::Gauge* workers = nullptr;
        prometheus::Gauge* circuit = nullptr;
    };
    using CountersByText = std::map<std::string, prometheus::Counter*, std::less<>>;

    HttpSeries http_series(const HttpKey<std::string_view>& key);
    prometheus::Counter& service_counter(prometheus::Family<prometheus::Counter>& family,
                                         CountersByText& known, std::string_view service);
    OutboxGauges& outbox_gauges(const std::string& subscription);
    void forget_outbox(const OutboxGauges& gauges);

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
    prometheus::Family<prometheus::Gauge>& followers_;
    prometheus::Family<prometheus::Counter>& streamed_;
    prometheus::Family<prometheus::Counter>& stream_ends_;
    prometheus::Family<prometheus::Gauge>& subscription_unsent_;
    prometheus::Family<prometheus::Gauge>& subscription_oldest_;
    prometheus::Family<prometheus::Gauge>& subscription_retrying_;
    prometheus::Family<prometheus::Gauge>& subscription_dead_;
    prometheus::Family<prometheus::Gauge>& subscription_workers_;
    prometheus::Family<prometheus::Gauge>& subscription_circuit_;
    prometheus::Family<prometheus::Gauge>& writer_queue_;
    prometheus::Family<prometheus::Gauge>& pool_;
    prometheus::Family<prometheus::Counter>& pool_refused_;
    // Making a series looks at texts, maps and a lock of the registry; a request must not pay that again.
    mutable std::shared_mutex series_mutex_;  // of the three below
    std::map<HttpKey<std::string>, HttpSeries, HttpKeyLess> http_;
    CountersByText stored_by_service_;
    CountersByText derived_by_service_;
    std::mutex outbox_mutex_;
    std::map<std::string, OutboxGauges> outbox_;
    std::mutex mutex_;  // of the families below
    std::map<std::string, prometheus::Family<prometheus::Histogram>*> measured_;
    prometheus::Family<prometheus::Histogram>* jobs_ = nullptr;
    std::map<domain::PartitionId, prometheus::Gauge*> lags_;  // one thread tells them
};

}  // namespace infra
