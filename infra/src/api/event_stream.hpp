#pragma once

#include "api/stream_hub.hpp"
#include "infra/http/message.hpp"
#include "infra/metrics.hpp"
#include "pg/query_pool.hpp"

#include <chrono>
#include <functional>
#include <memory>
#include <string>

namespace infra::api {

struct EventStreamOptions {
    std::string database_url;
    std::size_t followers_max = 0;
    StreamLimits limits = {};
    // How long the writer has been at work since the start. While it is busy the stream takes a twentieth of
    // a processor and falls behind rather than slow ingest down.
    std::function<std::chrono::nanoseconds()> writer_busy = [] { return std::chrono::nanoseconds(0); };
};

// GET /events/stream: every event from a place on, in the order of commit and without a gap, as server-sent
// events. One thread reads for all followers; there is no query while nobody follows.
class EventStream {
public:
    // Pool and metrics must outlive it.
    EventStream(EventStreamOptions options, pg::QueryPool& pool, Metrics& metrics);
    ~EventStream();  // stop(0)
    EventStream(const EventStream&) = delete;
    EventStream& operator=(const EventStream&) = delete;

    void open(const http::Request& request, const http::Reply& reply);

    // Idempotent.
    void stop(std::chrono::milliseconds limit);

private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace infra::api
