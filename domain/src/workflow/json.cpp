#include "domain/coercion.hpp"
#include "domain/workflow/batch.hpp"

#include <boost/json.hpp>

#include <stdexcept>

// How instances, events and calls look in the database.
namespace domain::workflow {
namespace {

namespace json = boost::json;

// What senders nest 32 deep lies deeper in what we make of it.
constexpr std::size_t stored_depth_max = 64;

json::value parse(std::string_view text)
{
    json::parse_options options;
    options.max_depth = stored_depth_max;
    return json::parse({text.data(), text.size()}, {}, options);
}

std::string text_at(const json::object& object, const char* member)
{
    const auto* value = object.if_contains(member);
    return value == nullptr ? std::string() : std::string(value->as_string());
}

json::value time_json(TimePoint time) { return time.time_since_epoch().count(); }

TimePoint time_at(const json::object& object, const char* member)
{
    return TimePoint(TimePoint::duration(object.at(member).as_int64()));
}

std::optional<TimePoint> optional_time_at(const json::object& object, const char* member)
{
    if (!object.contains(member)) return std::nullopt;
    return time_at(object, member);
}

std::uint32_t count_at(const json::object& object, const char* member)
{
    return json::value_to<std::uint32_t>(object.at(member));
}

StepStatus status_at(const json::object& object)
{
    const auto text = text_at(object, "status");
    for (const auto status :
         {StepStatus::pending, StepStatus::completed, StepStatus::skipped, StepStatus::failed}) {
        if (text == to_string(status)) return status;
    }
    throw std::invalid_argument("an unknown status of a step");
}

struct Members {
    json::object& object;

    void operator()(const Incoming& incoming) const
    {
        object["service"] = incoming.service;
        object["payload"] = incoming.payload;
    }
    void operator()(const Reply& reply) const
    {
        object["step"] = reply.step;
        object["attempt"] = reply.attempt;
        object["status"] = reply.status;
        object["body"] = reply.body;
        object["error"] = reply.error;
    }
    void operator()(const Overdue& overdue) const { object["step"] = overdue.step; }
    void operator()(const Restart& restart) const
    {
        object["step"] = restart.step;
        object["only_failed"] = restart.only_failed;
    }
    void operator()(const Wake& wake) const { object["due"] = time_json(wake.due); }
};

What what_of(const json::object& object)
{
    const auto event = text_at(object, "event");
    if (event == "incoming") return Incoming{text_at(object, "service"), object.at("payload").as_object()};
    if (event == "reply")
        return Reply{text_at(object, "step"), count_at(object, "attempt"), count_at(object, "status"),
                     object.at("body"), text_at(object, "error")};
    if (event == "overdue") return Overdue{text_at(object, "step")};
    if (event == "restart") return Restart{text_at(object, "step"), object.at("only_failed").as_bool()};
    if (event == "wake") return Wake{time_at(object, "due")};
    throw std::invalid_argument("an unknown event of a workflow");
}

InstanceKey key_of(const json::object& object)
{
    return {text_at(object, "workflow"), text_at(object, "id")};
}

}  // namespace

std::string_view name_of(const What& what)
{
    struct Name {
        std::string_view operator()(const Incoming&) const { return "incoming"; }
        std::string_view operator()(const Reply&) const { return "reply"; }
        std::string_view operator()(const Overdue&) const { return "overdue"; }
        std::string_view operator()(const Restart&) const { return "restart"; }
        std::string_view operator()(const Wake&) const { return "wake"; }
    };
    return std::visit(Name(), what);
}

std::string trigger_json(const Trigger& trigger)
{
    json::object object{{"workflow", trigger.instance.workflow},
                        {"id", trigger.instance.id},
                        {"event", std::string(name_of(trigger.what))}};
    if (trigger.starts) object["starts"] = true;
    std::visit(Members{object}, trigger.what);
    return json_text(object);
}

Trigger parse_trigger(std::string_view text)
{
    const auto value = parse(text);
    const auto& object = value.as_object();
    return {key_of(object), what_of(object), object.contains("starts")};
}

std::string CallOrder::idempotency_key() const
{
    return instance.workflow + "/" + instance.id + "/" + call.step + "/" + std::to_string(call.attempt);
}

std::string call_json(const CallOrder& order)
{
    const auto& call = order.call;
    return json_text(json::object{{"workflow", order.instance.workflow},
                                  {"id", order.instance.id},
                                  {"step", call.step},
                                  {"attempt", call.attempt},
                                  {"endpoint", call.endpoint},
                                  {"method", call.method},
                                  {"path", call.path},
                                  {"body", call.body}});
}

CallOrder parse_call(std::string_view text)
{
    const auto value = parse(text);
    const auto& object = value.as_object();
    return {key_of(object),
            {text_at(object, "endpoint"), text_at(object, "method"), text_at(object, "path"),
             object.at("body"), text_at(object, "step"), count_at(object, "attempt")}};
}

std::string data_json(const State& state) { return json_text(state.data); }

std::string steps_json(const State& state)
{
    json::array array;
    for (const auto& step : state.steps) {
        json::object object{{"step", step.name},
                            {"status", std::string(to_string(step.status))},
                            {"attempts", step.attempts},
                            {"started_at", time_json(step.started_at)}};
        if (step.ended_at) object["ended_at"] = time_json(*step.ended_at);
        if (step.deadline) object["deadline"] = time_json(*step.deadline);
        if (!step.error.empty()) object["error"] = step.error;
        if (!step.data.empty()) object["data"] = step.data;
        array.push_back(std::move(object));
    }
    return json_text(array);
}

boost::json::object parse_data(std::string_view text) { return parse(text).as_object(); }

std::deque<Step> parse_steps(std::string_view text)
{
    std::deque<Step> steps;
    const auto value = parse(text);
    for (const auto& item : value.as_array()) {
        const auto& object = item.as_object();
        steps.push_back({text_at(object, "step"), status_at(object), count_at(object, "attempts"),
                         time_at(object, "started_at"), optional_time_at(object, "ended_at"),
                         optional_time_at(object, "deadline"), text_at(object, "error"),
                         object.contains("data") ? object.at("data").as_object() : json::object()});
    }
    return steps;
}

}  // namespace domain::workflow
