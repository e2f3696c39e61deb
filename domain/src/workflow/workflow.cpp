#include "domain/workflow/workflow.hpp"

#include <algorithm>
#include <stdexcept>

namespace domain::workflow {

std::string_view to_string(StepStatus status)
{
    switch (status) {
        case StepStatus::pending:
            return "pending";
        case StepStatus::completed:
            return "completed";
        case StepStatus::skipped:
            return "skipped";
        case StepStatus::failed:
            return "failed";
    }
    return "";
}

const Step* State::find(std::string_view step) const
{
    const auto at =
        std::find_if(steps.begin(), steps.end(), [step](const Step& s) { return s.name == step; });
    return at == steps.end() ? nullptr : &*at;
}

Step* State::find(std::string_view step) { return const_cast<Step*>(std::as_const(*this).find(step)); }

Step& Turn::begin(std::string_view name, std::chrono::milliseconds deadline)
{
    Step* step = state.find(name);
    if (step == nullptr) {
        step = &state.steps.emplace_back(Step{.name = std::string(name)});
    } else {
        ++step->attempts;
    }
    step->status = StepStatus::pending;
    step->started_at = now;
    step->ended_at.reset();
    step->deadline = now + deadline;
    step->error.clear();
    return *step;
}

Step& Turn::add(std::string_view name, StepStatus status, std::string error)
{
    auto& step = state.steps.emplace_back(Step{.name = std::string(name), .started_at = now});
    finish(step, status, std::move(error));
    return step;
}

void Turn::finish(Step& step, StepStatus status, std::string error)
{
    step.status = status;
    step.ended_at = now;
    step.deadline.reset();
    step.error = std::move(error);
}

void Turn::publish(std::string topic, std::string key, boost::json::object payload)
{
    messages_.emplace_back(Publish{std::move(topic), std::move(key), std::move(payload)});
}

void Turn::call(const Step& step, Call call)
{
    if (!step.pending()) throw std::logic_error("a call belongs to a pending step");
    call.step = step.name;
    call.attempt = step.attempts;
    messages_.emplace_back(std::move(call));
}

void Turn::proceed(std::string_view status)
{
    state.status = status;
    state.ended = false;
    state.error.clear();
}

void Turn::end(std::string_view status, std::string error)
{
    state.status = status;
    state.ended = true;
    state.error = std::move(error);
}

void Turn::ignore(std::string why) { ignored_ = std::move(why); }

void Turn::refuse(Refusal::Kind kind, std::string text) { refused_ = Refusal{kind, std::move(text)}; }

void Turn::measure(std::string name, double value) { measurements_.push_back({std::move(name), value}); }

}  // namespace domain::workflow
