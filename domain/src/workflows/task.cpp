// a request -> [the hub and back] -> one call a service, all at once -> COMPLETED, or FAILED with each error
#include "domain/ids.hpp"
#include "domain/json.hpp"
#include "domain/workflow/task_request.hpp"
#include "domain/workflow/workflow.hpp"

#include <boost/json.hpp>

#include <algorithm>

namespace domain::workflow {
namespace {

namespace json = boost::json;

constexpr std::string_view hub = "hub";

// A message of the hub that names no task is one of its own, known by what it says.
std::string queued_task_id(const json::object& message)
{
    const auto id = id_member("task_id")(message);
    return id.empty() ? domain::to_string(key_digest(task_queued, json::serialize(message))) : id;
}

std::string text_or(const json::object& object, const char* member, const char* otherwise)
{
    const auto* value = object.if_contains(member);
    return value != nullptr && value->is_string() ? std::string(value->get_string()) : otherwise;
}

class Task {
public:
    explicit Task(const Settings& settings)
        : deadline_(settings.step_deadline), hub_patience_(settings.task_hub_patience)
    {
    }

    void operator()(Turn& turn, const Event& event) const
    {
        if (const auto* incoming = std::get_if<Incoming>(&event.what)) return hear(turn, *incoming);
        if (const auto* reply = std::get_if<Reply>(&event.what)) return answered(turn, *reply);
        const auto* overdue = std::get_if<Overdue>(&event.what);
        if (overdue == nullptr) return turn.refuse(Refusal::Kind::unsupported, "a task is not run again");
        // A hub that does not deliver delays the task and does not lose it.
        if (overdue->step == hub) return run(turn);
        close(turn);
    }

private:
    void hear(Turn& turn, const Incoming& incoming) const
    {
        if (turn.state.status.empty()) return accept(turn, incoming);
        auto* step = turn.state.find(hub);
        if (incoming.service != task_queued || step == nullptr || !step->pending())
            return turn.ignore("the task is known");
        turn.finish(*step, StepStatus::completed);
        run(turn);
    }

    void accept(Turn& turn, const Incoming& incoming) const
    {
        auto request = read_task_request(incoming.payload);
        if (!request) {
            turn.state.data = {
                {"task_name", text_or(incoming.payload, "task_name", "Unknown Task")},
                {"task_description", text_or(incoming.payload, "task_description", "Task from Event Hub")},
                {"payload", nullptr}};
            return turn.end("FAILED", "Validation error: " + request.error().detail);
        }
        turn.state.data = *request;
        if (incoming.service != task_requested || !hub_patience_) return run(turn);
        turn.proceed("PENDING");
        turn.begin(hub, *hub_patience_);
        const auto id = id_member("task_id")(incoming.payload);
        (*request)["task_id"] = id;
        turn.publish(std::string(hub_topic), id, *std::move(request));
    }

    void run(Turn& turn) const
    {
        turn.proceed("IN_PROGRESS");
        for (const auto service : task_services) {
            json::array items;
            for (const auto& item : turn.state.data.at("payload").as_array()) {
                if (const auto& wanted = item.at(service); !wanted.is_null()) items.push_back(wanted);
            }
            if (items.empty()) continue;
            turn.call(turn.begin(service, deadline_),
                      {.endpoint = std::string(service), .body = std::move(items)});
        }
        close(turn);
    }

    static void answered(Turn& turn, const Reply& reply)
    {
        auto& step = *turn.state.find(reply.step);
        if (reply.ok()) {
            turn.finish(step, StepStatus::completed);
            step.data["response"] = reply.body;
        } else {
            turn.finish(step, StepStatus::failed, reply.error);
        }
        close(turn);
    }

    // Ends the task once every service has answered.
    static void close(Turn& turn)
    {
        json::object errors;
        for (const auto& step : turn.state.steps) {
            if (step.pending()) return;
            if (step.name != hub && step.status == StepStatus::failed) errors[step.name] = step.error;
        }
        if (errors.empty()) return turn.end("COMPLETED");
        turn.end("FAILED", json::serialize(errors));
    }

    std::chrono::milliseconds deadline_;
    std::optional<std::chrono::milliseconds> hub_patience_;
};

}  // namespace

Definition make_task(const Settings& settings)
{
    return {.name = "task",
            .id_name = "task_id",
            .listens = {{std::string(task_requested), id_member("task_id"), true},
                        {std::string(task_direct), id_member("task_id"), true},
                        {std::string(task_queued), queued_task_id, true}},
            .decide = Task(settings)};
}

}  // namespace domain::workflow
