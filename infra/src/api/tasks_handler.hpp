#pragma once

#include "app/ingest.hpp"
#include "app/ports/event_log.hpp"
#include "infra/http/router.hpp"
#include "pg/query_pool.hpp"

#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <string>
#include <thread>

namespace infra::api {

// Answers requests once their tasks have ended: one thread looks for all of them, while there are any.
class TaskResults {
public:
    explicit TaskResults(pg::QueryPool& pool);
    ~TaskResults();  // stop()
    TaskResults(const TaskResults&) = delete;
    TaskResults& operator=(const TaskResults&) = delete;

    void await(const std::string& task_id, http::Reply reply);
    // Answers those that wait. Idempotent.
    void stop();

private:
    struct Waiting {
        http::Reply reply;
        std::chrono::steady_clock::time_point until;
    };

    void loop();
    void look();
    void answer(const std::map<std::string, std::string>& results);

    pg::QueryPool& pool_;
    std::mutex mutex_;
    std::condition_variable wake_;
    std::multimap<std::string, Waiting> waiting_;
    bool looking_ = false;
    bool stopping_ = false;
    std::thread thread_;
};

// POST /api/orchestrate, POST /api/orchestrate/direct, GET /api/tasks, GET /api/tasks/{task_id}. Everything
// must outlive the router.
void add_task_routes(http::Router& router, pg::QueryPool& pool, const app::PrepareEvent& prepare,
                     app::EventLog& log, TaskResults& results);

}  // namespace infra::api
