#include "domain/workflow/batch.hpp"

#include <algorithm>
#include <exception>
#include <stdexcept>

namespace domain::workflow {
namespace {

constexpr std::string_view failed = "failed";

// Why the event is none of the instance's business any more.
std::optional<std::string> late(const State& state, const What& what)
{
    const auto* reply = std::get_if<Reply>(&what);
    if (reply == nullptr && !std::holds_alternative<Wake>(what)) return std::nullopt;
    if (state.ended) return "the workflow has ended";
    if (reply == nullptr) return std::nullopt;
    const auto* step = state.find(reply->step);
    const bool waited_for = step != nullptr && step->pending() && step->attempts == reply->attempt;
    if (!waited_for) return "no such call is under way";
    return std::nullopt;
}

// The steps whose deadline has passed fail, and the machine hears of each.
void wake(const Definition& definition, Turn& turn, const Event& event)
{
    bool any = false;
    for (std::size_t i = 0; i < turn.state.steps.size() && !turn.state.ended; ++i) {
        auto& step = turn.state.steps[i];
        if (!step.pending() || *step.deadline > event.at) continue;
        any = true;
        turn.finish(step, StepStatus::failed, "no outcome before its deadline");
        definition.decide(turn, {event.at, Overdue{step.name}});
        if (!turn.stands()) throw std::logic_error("a deadline cannot be ignored");
    }
    if (!any) turn.ignore("no deadline has passed");
}

std::string over_limit(const Turn& turn, const Instance& instance)
{
    if (turn.state.steps.size() > steps_max) return "more than 1000 steps";
    if (turn.messages().size() > messages_max) return "more than 2000 messages in one turn";
    if (instance.transitions >= transitions_max) return "more than 10000 transitions";
    if (data_json(turn.state).size() + steps_json(turn.state).size() > state_bytes_max)
        return "a state of more than 1 MiB";
    return {};
}

// Every workflow ends or waits for something that has a deadline.
void close(Turn& turn)
{
    const auto pending = [](const Step& step) { return step.pending(); };
    auto& steps = turn.state.steps;
    if (!turn.state.ended && std::none_of(steps.begin(), steps.end(), pending))
        turn.end(failed, "the workflow waits for nothing");
    if (!turn.state.ended) return;
    for (auto& step : steps) {
        if (step.pending()) turn.finish(step, StepStatus::skipped, "the workflow has ended");
    }
}

std::optional<TimePoint> first_deadline(const State& state)
{
    std::optional<TimePoint> first;
    for (const auto& step : state.steps) {
        if (step.deadline && (!first || *step.deadline < *first)) first = step.deadline;
    }
    return first;
}

// One timer is enough, and it may be early: it is set again when it goes off. Most never matter.
std::optional<TimePoint> timer(Instance& instance, TimePoint now)
{
    const auto deadline = first_deadline(instance.state);
    const bool under_way = instance.wake_at && *instance.wake_at > now;
    if (!deadline || (under_way && *instance.wake_at <= *deadline)) return std::nullopt;
    instance.wake_at = deadline;
    return deadline;
}

// What is wrong with the definition; empty = nothing.
std::string decide(const Definition& definition, Turn& turn, const Event& event)
{
    try {
        if (std::holds_alternative<Wake>(event.what)) {
            wake(definition, turn, event);
        } else {
            definition.decide(turn, event);
        }
        return {};
    } catch (const std::exception&) {
        return "the workflow's definition cannot handle this event";
    }
}

// The state before the turn that failed, at its end.
State ended_by(std::string fault, const State& before, TimePoint at)
{
    Turn turn(before, at);
    turn.end(failed, std::move(fault));
    close(turn);
    return std::move(turn.state);
}

}  // namespace

TurnResult take_turn(const Definition& definition, Instance& instance, const Event& event)
{
    Event heard = event;
    // The clock that let it go off may be ahead of ours.
    if (const auto* off = std::get_if<Wake>(&event.what)) heard.at = std::max(event.at, off->due);
    TurnResult result;
    result.ignored = late(instance.state, heard.what);
    if (result.ignored) return result;

    Turn turn(instance.state, heard.at);
    std::string fault = decide(definition, turn, heard);
    if (fault.empty() && !turn.stands()) {
        result.refused = turn.refused();
        result.ignored = turn.ignored();
        if (std::holds_alternative<Wake>(heard.what)) result.wake = timer(instance, heard.at);
        if (result.wake) result.ignored.reset();
        return result;
    }
    close(turn);
    if (fault.empty()) fault = over_limit(turn, instance);
    if (fault.empty()) {
        result.messages = turn.messages();
        result.measurements = turn.measurements();
        instance.state = std::move(turn.state);
    } else {
        instance.state = ended_by(std::move(fault), instance.state, heard.at);
    }
    ++instance.transitions;
    instance.updated_at = event.at;
    result.wake = timer(instance, heard.at);
    return result;
}

}  // namespace domain::workflow
