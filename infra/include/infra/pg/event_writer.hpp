#pragma once

#include "app/ports/event_log.hpp"
#include "app/ports/stream_log.hpp"
#include "domain/workflow/registry.hpp"

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace infra::pg {

struct EventWriterOptions {
    std::string database_url;
    std::size_t batch_rows_max = 1000;  // events of one transaction, unless one request alone has more
    std::size_t queue_rows_max = 20'000;
    std::size_t queue_bytes_max = 64 * 1024 * 1024;
    const domain::workflow::Registry* workflows =
        nullptr;  // null: events trigger none. Must outlive the writer.
};

// What one committed batch was, for metrics.
struct CommittedBatch {
    std::size_t requests;
    std::size_t events;
    std::chrono::nanoseconds duration;
    std::vector<domain::workflow::Measurement> measurements = {};
};

// The event log's writer: one thread, one connection, group commit. It takes everything that waits and
// commits it in one transaction; what arrives meanwhile is the next batch. A request is never split over
// transactions.
class EventWriter final : public app::EventLog, public app::StreamLog {
public:
    // `committed` runs on the writer's thread.
    EventWriter(EventWriterOptions options, std::function<void(const CommittedBatch&)> committed);
    ~EventWriter() override;  // stop()
    EventWriter(const EventWriter&) = delete;
    EventWriter& operator=(const EventWriter&) = delete;

    void append(std::vector<domain::PreparedEvent> events, Done done) override;
    // Has a transaction of its own.
    void append_stream(std::shared_ptr<const app::StreamBatch> batch, Done done) override;

    // Commits what is queued, refuses what comes later, and joins the thread. Idempotent.
    void stop();

    std::size_t queued_rows() const;

private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace infra::pg
