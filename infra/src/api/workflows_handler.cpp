#include "api/workflows_handler.hpp"

#include "api/answers.hpp"
#include "api/paging.hpp"
#include "api/with_session.hpp"
#include "app/ingest.hpp"
#include "pg/workflow_queries.hpp"

#include <boost/json.hpp>

#include <chrono>
#include <optional>
#include <utility>

namespace infra::api {
namespace {

namespace json = boost::json;
using domain::workflow::Instance;
using domain::workflow::Refusal;
using domain::workflow::Registry;
using domain::workflow::Restart;

constexpr std::int64_t history_shown_max = 100;

http::Response unknown() { return http::problem(404, "workflow not found"); }

std::string text_of(const http::Request& request, std::string_view name)
{
    const auto* value = request.query_value(name);
    return value == nullptr ? std::string() : *value;
}

json::object head_json(const Instance& instance, const Registry& workflows)
{
    const auto& state = instance.state;
    json::object out{{"id", instance.key.id},
                     {"workflow", instance.key.workflow},
                     {"version", instance.version},
                     {"status", state.status},
                     {"ended", state.ended},
                     {"created_at", domain::format_time(domain::id_time(instance.first_event))},
                     {"updated_at", domain::format_time(instance.updated_at)},
                     {"first_event_id", domain::to_string(instance.first_event)},
                     {"transitions", instance.transitions}};
    if (!state.error.empty()) out["error"] = state.error;
    const auto* definition = workflows.newest(instance.key.workflow);
    if (definition != nullptr) out[definition->id_name] = instance.key.id;
    return out;
}

json::object step_json(const domain::workflow::Step& step)
{
    json::object out{{"step", step.name},
                     {"status", std::string(to_string(step.status))},
                     {"retries", step.attempts - 1},
                     {"attempts", step.attempts},
                     {"started_at", domain::format_time(step.started_at)}};
    if (step.ended_at) out["ended_at"] = domain::format_time(*step.ended_at);
    if (step.deadline) out["deadline"] = domain::format_time(*step.deadline);
    if (!step.error.empty()) out["error"] = step.error;
    return out;
}

http::Response show(soci::session& session, const std::string& id, const std::string& workflow,
                    const Registry& workflows)
{
    const auto instance = pg::read_instance(session, workflow, id);
    if (!instance) return unknown();
    auto out = head_json(*instance, workflows);
    json::array steps;
    for (const auto& step : instance->state.steps) steps.push_back(step_json(step));
    out["steps"] = std::move(steps);
    out["history"] = pg::read_history(session, instance->key, history_shown_max);
    return json_text(json::serialize(out));
}

http::Response list(soci::session& session, const http::Request& request, const pg::InstanceFilter& filter,
                    std::int64_t limit, const Registry& workflows)
{
    const auto found = pg::read_instances(session, filter, limit);
    json::array rows;
    for (const auto& instance : found) rows.push_back(head_json(instance, workflows));
    auto response = json_text(json::serialize(rows));
    if (static_cast<std::int64_t>(found.size()) < limit) return response;
    response.headers.push_back(
        {"Link", link_to(request, "after", domain::to_string(found.back().first_event))});
    return response;
}

// What the machine itself would say to it; the event decides again when it is stored.
std::optional<http::Response> refusal(const Instance& instance, const Restart& restart,
                                      const Registry& workflows)
{
    const auto* definition = workflows.find(instance.key.workflow, instance.version);
    if (definition == nullptr) return http::problem(409, "this program does not know the workflow's version");
    auto copy = instance;
    const auto now = std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now());
    const auto result = take_turn(*definition, copy, {now, restart});
    if (result.refused)
        return http::problem(result.refused->kind == Refusal::Kind::unsupported ? 400 : 404,
                             result.refused->text);
    if (result.ignored) return http::problem(409, *result.ignored);
    return std::nullopt;
}

void restart(soci::session& session, const http::Request& request, const Restart& restart,
             const Registry& workflows, app::EventLog& log, const http::Reply& reply)
{
    const auto instance = pg::read_instance(session, text_of(request, "workflow"), request.captures.at(0));
    if (!instance) return reply(unknown());
    if (auto no = refusal(*instance, restart, workflows)) return reply(*std::move(no));
    std::vector<domain::PreparedEvent> events;
    events.push_back(app::self_event({instance->key, restart}));
    events.back().trace =
        domain::parse_trace_context(request.header("traceparent"), request.header("tracestate"));
    log.append(std::move(events), [reply](const app::AppendResult& result) {
        reply(result.refusal ? refusal_response(*result.refusal) : json_text(R"({"status":"ok"})"));
    });
}

}  // namespace

void add_workflow_routes(http::Router& router, pg::QueryPool& pool, app::EventLog& log,
                         const Registry& workflows)
{
    router.add("GET", "/workflows", [&](const http::Request& request, const http::Reply& reply) {
        const auto limit = limit_of(request);
        if (!limit) return reply(fault_response(limit.error()));
        const pg::InstanceFilter filter{text_of(request, "workflow"), text_of(request, "status"),
                                        text_of(request, "after")};
        if (!filter.after.empty() && !domain::parse_uuid(filter.after))
            return reply(http::problem(422, "after must be an id, as a Link header gives it"));
        with_session(pool, reply, [=, &workflows, limit = *limit](soci::session& session) {
            return list(session, request, filter, limit, workflows);
        });
    });
    router.add("GET", "/workflows/{id}", [&](const http::Request& request, const http::Reply& reply) {
        with_session(pool, reply,
                     [&workflows, id = request.captures.at(0), name = text_of(request, "workflow")](
                         soci::session& session) { return show(session, id, name, workflows); });
    });
    router.add("POST", "/workflows/{id}/restart",
               [&](const http::Request& request, const http::Reply& reply) {
                   const auto step = text_of(request, "step");
                   const auto only = text_of(request, "only");
                   if (step.empty()) return reply(http::problem(422, "step is required"));
                   if (!only.empty() && only != "failed")
                       return reply(http::problem(422, "only must be failed"));
                   pool.submit(
                       [=, &workflows, &log, wish = Restart{step, !only.empty()}](soci::session& session) {
                           restart(session, request, wish, workflows, log, reply);
                       },
                       [reply] { reply(database_unavailable()); });
               });
}

}  // namespace infra::api
