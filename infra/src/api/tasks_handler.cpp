#include "api/tasks_handler.hpp"

#include "api/answers.hpp"
#include "api/events_handler.hpp"
#include "domain/workflow/task_request.hpp"
#include "pg/task_queries.hpp"

#include <boost/json.hpp>
#include <boost/uuid/random_generator.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>
#include <vector>

namespace infra::api {
namespace {

namespace json = boost::json;
using domain::Fault;
using domain::Result;

constexpr std::int64_t limit_max = 100;
constexpr std::array<std::string_view, 4> statuses{"PENDING", "IN_PROGRESS", "COMPLETED", "FAILED"};

http::Response refused(const Fault& fault)
{
    auto response = http::problem(422, fault.detail);
    if (fault.fields.empty()) return response;
    auto body = json::parse(response.body).as_object();
    body["errors"] = json::parse(app::field_errors_json(fault.fields));
    response.body = json::serialize(body);
    return response;
}

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
    if (!task) return reply(refused(task.error()));
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
    if (const auto* limit = request.query_value("limit")) {
        const auto* end = limit->data() + limit->size();
        const auto [at, error] = std::from_chars(limit->data(), end, filter.limit);
        if (error != std::errc{} || at != end || filter.limit < 1 || filter.limit > limit_max)
            return Fault{"limit must be 1 to 100"};
    }
    return filter;
}

void list(pg::QueryPool& pool, const http::Request& request, const http::Reply& reply)
{
    const auto filter = read_filter(request);
    if (!filter) return reply(http::problem(422, filter.error().detail));
    pool.submit(
        [filter = *filter, reply](soci::session& session) {
            auto page = pg::read_tasks(session, filter);
            auto response = json_text(std::move(page.json));
            if (!page.next.empty()) {
                std::string link = "</api/tasks?limit=" + std::to_string(filter.limit);
                if (!filter.status.empty()) link += "&status=" + filter.status;
                response.headers.push_back({"Link", link + "&after=" + page.next + ">; rel=\"next\""});
            }
            reply(std::move(response));
        },
        [reply] { reply(database_unavailable()); });
}

void show(pg::QueryPool& pool, const http::Request& request, const http::Reply& reply)
{
    const auto& id = request.captures.at(0);
    // The database takes neither NUL nor what is not UTF-8; nor does this.
    const bool can_be = domain::parse_json(json::serialize(json::string(id))).has_value();
    if (!can_be) return reply(http::problem(404, "There is no task with this id"));
    pool.submit(
        [id, reply](soci::session& session) {
            auto task = pg::read_task(session, id);
            reply(task ? json_text(*std::move(task))
                       : http::problem(404, "Task with ID " + id + " not found"));
        },
        [reply] { reply(database_unavailable()); });
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
