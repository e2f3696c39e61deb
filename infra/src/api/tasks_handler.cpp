#include "api/tasks_handler.hpp"

#include "api/answers.hpp"
#include "api/paging.hpp"
#include "api/with_session.hpp"
#include "domain/workflow/task_request.hpp"
#include "pg/task_queries.hpp"

#include <boost/json.hpp>
#include <boost/uuid/random_generator.hpp>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

namespace infra::api {
namespace {

namespace json = boost::json;
using domain::Fault;
using domain::Result;

constexpr std::array<std::string_view, 4> statuses{"PENDING", "IN_PROGRESS", "COMPLETED", "FAILED"};

// A repeated request with its key is the same task.
std::string new_task_id(std::string_view key)
{
    if (!key.empty()) return domain::to_string(domain::key_digest(domain::workflow::task_requested, key));
    thread_local boost::uuids::random_generator random;
    return domain::to_string(random());
}

struct NewTask {
    std::string id;
    domain::PreparedEvent event;
};

Result<NewTask> read_task(const app::PrepareEvent& prepare, std::string_view service,
                          const http::Request& request)
{
    const auto document = domain::parse_json(request.body);
    if (!document) return document.error();
    const auto* body = document->value.if_object();
    if (body == nullptr) return Fault{"the body must be a JSON object"};
    auto task = domain::workflow::read_task_request(*body);
    if (!task) return task.error();
    const auto key = request.header("Idempotency-Key");
    const auto id = new_task_id(key);
    (*task)["task_id"] = id;
    const auto text = json::serialize(*task);
    auto event = prepare.prepare(
        service, {*task, text},
        {.request_key = std::string(key),
         .trace = domain::parse_trace_context(request.header("traceparent"), request.header("tracestate"))});
    if (!event) return event.error();
    return NewTask{id, *std::move(event)};
}

http::Response accepted(const std::string& task_id)
{
    return json_text(
        json::serialize(json::object{{"task_id", task_id},
                                     {"status", "accepted"},
                                     {"message", "Request accepted and sent to processing queue"}}));
}

// Stores the task; `then` answers.
void store(const app::PrepareEvent& prepare, app::EventLog& log, std::string_view service,
           const http::Request& request, const http::Reply& reply,
           std::function<void(const std::string& task_id, const domain::IngestAnswer& stored)> then)
{
    auto task = read_task(prepare, service, request);
    if (!task) return reply(fault_response(task.error()));
    std::vector<domain::PreparedEvent> events;
    events.push_back(std::move(task->event));
    log.append(std::move(events),
               [reply, id = std::move(task->id), then = std::move(then)](const app::AppendResult& result) {
                   if (result.refusal) return reply(refusal_response(*result.refusal));
                   const auto& stored = result.events.front();
                   if (!stored) return reply(http::problem(422, "the database cannot hold this task"));
                   then(id, *stored);
               });
}

Result<pg::TaskFilter> read_filter(const http::Request& request)
{
    pg::TaskFilter filter;
    if (const auto* status = request.query_value("status")) {
        if (std::find(statuses.begin(), statuses.end(), *status) == statuses.end())
            return Fault{"status must be PENDING, IN_PROGRESS, COMPLETED or FAILED"};
        filter.status = *status;
    }
    if (const auto* after = request.query_value("after")) {
        filter.older_than = domain::parse_uuid(*after);
        if (!filter.older_than) return Fault{"after must be an id, as a Link header gives it"};
    }
    const auto limit = limit_of(request);
    if (!limit) return limit.error();
    filter.limit = *limit;
    return filter;
}

void list(pg::QueryPool& pool, const http::Request& request, const http::Reply& reply)
{
    const auto filter = read_filter(request);
    if (!filter) return reply(http::problem(422, filter.error().detail));
    with_session(pool, reply, [filter = *filter, request](soci::session& session) {
        auto page = pg::read_tasks(session, filter);
        auto response = json_text(std::move(page.json));
        if (!page.next.empty()) response.headers.push_back({"Link", link_to(request, "after", page.next)});
        return response;
    });
}

void show(pg::QueryPool& pool, const http::Request& request, const http::Reply& reply)
{
    const auto& id = request.captures.at(0);
    // The database takes neither NUL nor what is not UTF-8; nor does this.
    const bool can_be = domain::parse_json(domain::json_string(id)).has_value();
    if (!can_be) return reply(http::problem(404, "There is no task with this id"));
    with_session(pool, reply, [id](soci::session& session) {
        auto task = pg::read_task(session, id);
        return task ? json_text(*std::move(task)) : http::problem(404, "Task with ID " + id + " not found");
    });
}

}  // namespace

void add_task_routes(http::Router& router, pg::QueryPool& pool, const app::PrepareEvent& prepare,
                     app::EventLog& log, TaskResults& results)
{
    router.add("POST", "/api/orchestrate", [&](const http::Request& request, const http::Reply& reply) {
        store(prepare, log, domain::workflow::task_requested, request, reply,
              [reply](const std::string& task_id, const domain::IngestAnswer& stored) {
                  auto response = accepted(task_id);
                  if (stored.replayed) response.headers.push_back({"Idempotent-Replayed", "true"});
                  reply(std::move(response));
              });
    });
    router.add("POST", "/api/orchestrate/direct",
               [&](const http::Request& request, const http::Reply& reply) {
                   store(prepare, log, domain::workflow::task_direct, request, reply,
                         [&results, reply](const std::string& task_id, const domain::IngestAnswer&) {
                             results.await(task_id, reply);
                         });
               });
    router.add("GET", "/api/tasks",
               [&](const http::Request& request, const http::Reply& reply) { list(pool, request, reply); });
    router.add("GET", "/api/tasks/{task_id}",
               [&](const http::Request& request, const http::Reply& reply) { show(pool, request, reply); });
}

}  // namespace infra::api
