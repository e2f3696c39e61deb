#pragma once

#include "infra/metrics.hpp"
#include "infra/trace/tracer.hpp"

#include <soci/soci.h>

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace infra::pg {

// Threads for queries and administration, each with a session of its own that is opened when it is first
// needed and replaced when it was lost. Queued tasks are bounded.
class QueryPool {
public:
    static constexpr std::size_t tasks_max = 256;

    using Work = std::function<void(soci::session&)>;
    using Failed = std::function<void()>;

    QueryPool(std::size_t threads, std::string database_url, std::string application_name);
    ~QueryPool();  // stop()
    QueryPool(const QueryPool&) = delete;
    QueryPool& operator=(const QueryPool&) = delete;

    // `work` runs outside of a transaction and may be repeated once when its connection turns out to be dead.
    // Exactly one of the two ends the task; `failed` also when the queue is full or the pool is stopped.
    void submit(Work work, Failed failed);

    PoolState state() const;

    // Spans for what traced requests submit, from there to its end. Before the first task.
    void trace(trace::Tracer* tracer) { tracer_ = tracer; }

    // Finishes what is queued and joins. Idempotent.
    void stop();

private:
    struct Task {
        Work work;
        Failed failed;
        std::optional<trace::Span> span = {};
    };

    std::optional<trace::Span> begin_span() const;
    void loop();
    void run(std::unique_ptr<soci::session>& session, const Task& task);

    const std::string url_;
    const std::string name_;
    trace::Tracer* tracer_ = nullptr;
    mutable std::mutex mutex_;
    std::condition_variable wake_;
    std::deque<Task> tasks_;
    std::size_t busy_ = 0;
    std::uint64_t refused_ = 0;
    bool stopping_ = false;
    std::vector<std::thread> threads_;
};

}  // namespace infra::pg
