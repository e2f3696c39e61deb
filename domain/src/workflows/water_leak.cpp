// leak.reported -> close the valve (a call) -> crew.requested -> leak.repaired
#include "domain/workflow/workflow.hpp"

namespace domain::workflow {
namespace {

class WaterLeak {
public:
    explicit WaterLeak(const Settings& settings) : deadline_(settings.step_deadline) {}

    void operator()(Turn& turn, const Event& event) const
    {
        if (const auto* incoming = std::get_if<Incoming>(&event.what)) {
            incoming->service == "leak.reported" ? report(turn, incoming->payload) : repaired(turn);
        } else if (const auto* reply = std::get_if<Reply>(&event.what)) {
            valve_answered(turn, *reply);
        } else if (const auto* restart = std::get_if<Restart>(&event.what)) {
            again(turn, *restart);
        } else {
            turn.end("failed", std::get<Overdue>(event.what).step + " took too long");
        }
    }

private:
    void report(Turn& turn, const boost::json::object& leak) const
    {
        if (!turn.state.steps.empty()) return turn.ignore("the leak is known");
        turn.state.data = leak;
        close_valve(turn);
    }

    void close_valve(Turn& turn) const
    {
        turn.proceed("closing");
        const auto& step = turn.begin("valve", deadline_);
        turn.call(step, {.endpoint = "valves", .path = "/close", .body = turn.state.data});
    }

    void valve_answered(Turn& turn, const Reply& reply) const
    {
        auto& valve = *turn.state.find("valve");
        if (!reply.ok()) {
            turn.finish(valve, StepStatus::failed, reply.error);
            return turn.end("failed", "the valve is open");
        }
        turn.finish(valve, StepStatus::completed);
        turn.begin("repair", deadline_);
        turn.publish("crew.requested", {}, turn.state.data);
        turn.proceed("repairing");
    }

    static void repaired(Turn& turn)
    {
        auto* repair = turn.state.find("repair");
        if (repair == nullptr || !repair->pending()) return turn.ignore("no repair is under way");
        turn.finish(*repair, StepStatus::completed);
        turn.end("completed");
    }

    void again(Turn& turn, const Restart& restart) const
    {
        if (restart.step != "valve") return turn.refuse(Refusal::Kind::unsupported, "unsupported step");
        if (!turn.state.ended) return turn.refuse(Refusal::Kind::not_found, "the workflow is under way");
        close_valve(turn);
    }

    std::chrono::milliseconds deadline_;
};

}  // namespace

Definition make_water_leak(const Settings& settings)
{
    return {
        .name = "water-leak",
        .id_name = "leak_id",
        .listens = {{"leak.reported", id_member("leak_id"), true}, {"leak.repaired", id_member("leak_id")}},
        .decide = WaterLeak(settings)};
}

}  // namespace domain::workflow
