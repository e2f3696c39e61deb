#pragma once

#include "domain/ids.hpp"
#include "domain/json.hpp"
#include "domain/workflow/batch.hpp"

#include <boost/json.hpp>

#include <string>
#include <string_view>
#include <vector>

// Plays events to one workflow as the event log would, and tells what came of them as text.
namespace workflow_play {

namespace workflow = domain::workflow;
namespace json = boost::json;
using namespace std::chrono_literals;

class Play {
public:
    Play(const workflow::Registry& registry, workflow::InstanceKey key)
        : registry_(registry), key_(std::move(key))
    {
    }

    // What was sent: "topic key payload" a message; the keys of calls are left out.
    std::vector<std::string> hear(std::string_view service, std::string_view payload)
    {
        std::vector<std::string> without_id;
        const auto value = json::parse({payload.data(), payload.size()});
        std::vector<std::string> sent;
        for (const auto& trigger : registry_.triggers_of(service, value.as_object(), without_id)) {
            for (auto& text : apply(trigger)) sent.push_back(std::move(text));
        }
        return sent;
    }

    std::vector<std::string> apply(workflow::What what) { return apply({key_, std::move(what)}); }

    std::vector<std::string> apply(const workflow::Trigger& trigger)
    {
        workflow::Batch batch(registry_, stored_, now, [this] { return new_id(); });
        unsigned ordinal = 0;
        changed = batch.apply(trigger, new_id(), ordinal);
        measured = batch.measurements();
        auto rows = batch.take();
        for (const auto* instance : rows.instances) stored_[instance->key] = through_database(*instance);
        for (auto& row : rows.history) history.push_back(std::move(row));
        std::vector<std::string> sent;
        for (const auto& row : rows.messages) {
            rows_sent.push_back(row);
            if (row.due_at) {
                timers.push_back(row);
            } else {
                const bool own = row.topic.starts_with(workflow::call_topic(""));
                sent.push_back(row.topic + " " + (own ? "" : row.ordering_key) + " " + row.payload);
            }
        }
        return sent;
    }

    bool exists() const { return stored_.contains(key_); }
    workflow::Instance& instance() { return stored_.at(key_); }
    const workflow::State& state() const { return stored_.at(key_).state; }
    std::string step(std::string_view name) const
    {
        const auto* found = state().find(name);
        return found == nullptr ? "absent" : std::string(to_string(found->status));
    }

    domain::TimePoint now{std::chrono::seconds{1'800'000'000}};
    bool changed = false;
    std::vector<workflow::Measurement> measured;
    std::vector<workflow::Transition> history;
    std::vector<workflow::MessageRow> timers;
    std::vector<workflow::MessageRow> rows_sent;

private:
    domain::Uuid new_id()
    {
        ++ids_;
        return domain::family_id(domain::id_tick_at(now) + ids_, ids_);
    }

    // As it would come back.
    static workflow::Instance through_database(const workflow::Instance& instance)
    {
        auto read = instance;
        read.state.data = workflow::parse_data(workflow::data_json(instance.state));
        read.state.steps = workflow::parse_steps(workflow::steps_json(instance.state));
        return read;
    }

    const workflow::Registry& registry_;
    const workflow::InstanceKey key_;
    std::map<workflow::InstanceKey, workflow::Instance> stored_;
    std::uint64_t ids_ = 0;
};

}  // namespace workflow_play
