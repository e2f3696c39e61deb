#include "api/answers.hpp"
#include "api/tasks_handler.hpp"
#include "pg/task_queries.hpp"

#include <utility>
#include <vector>

namespace infra::api {
namespace {

constexpr std::chrono::milliseconds look_interval{50};
// Longer than one try of a call (30 s) and the wait before the next.
constexpr std::chrono::seconds patience{120};

http::Response still_under_way(const std::string& task_id)
{
    return http::problem(504, "The task is still under way: GET /api/tasks/" + task_id);
}

}  // namespace

TaskResults::TaskResults(pg::QueryPool& pool) : pool_(pool), thread_([this] { loop(); }) {}

TaskResults::~TaskResults() { stop(); }

void TaskResults::await(const std::string& task_id, http::Reply reply)
{
    {
        const std::lock_guard lock(mutex_);
        if (!stopping_) {
            waiting_.emplace(task_id, Waiting{std::move(reply), std::chrono::steady_clock::now() + patience});
            wake_.notify_all();
            return;
        }
    }
    reply(still_under_way(task_id));
}

void TaskResults::stop()
{
    std::multimap<std::string, Waiting> left;
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
        left.swap(waiting_);
    }
    wake_.notify_all();
    if (thread_.joinable()) thread_.join();
    for (const auto& [task_id, waiting] : left) waiting.reply(still_under_way(task_id));
}

void TaskResults::loop()
{
    std::unique_lock lock(mutex_);
    while (!stopping_) {
        wake_.wait(lock, [this] { return stopping_ || (!waiting_.empty() && !looking_); });
        if (stopping_) return;
        looking_ = true;
        lock.unlock();
        look();
        lock.lock();
        wake_.wait_for(lock, look_interval, [this] { return stopping_; });
    }
}

void TaskResults::look()
{
    std::vector<std::string> ids;
    {
        const std::lock_guard lock(mutex_);
        for (const auto& [task_id, waiting] : waiting_) ids.push_back(task_id);
    }
    pool_.submit([this, ids](soci::session& session) { answer(pg::read_task_results(session, ids)); },
                 [this] { answer({}); });
}

void TaskResults::answer(const std::map<std::string, std::string>& results)
{
    const auto now = std::chrono::steady_clock::now();
    std::vector<std::pair<http::Reply, http::Response>> ready;
    {
        const std::lock_guard lock(mutex_);
        looking_ = false;
        for (auto at = waiting_.begin(); at != waiting_.end();) {
            const auto found = results.find(at->first);
            if (found == results.end() && now < at->second.until) {
                ++at;
                continue;
            }
            ready.emplace_back(std::move(at->second.reply), found == results.end()
                                                                ? still_under_way(at->first)
                                                                : json_text(found->second));
            at = waiting_.erase(at);
        }
    }
    wake_.notify_all();
    for (auto& [reply, response] : ready) reply(std::move(response));
}

}  // namespace infra::api
