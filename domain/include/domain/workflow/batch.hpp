#pragma once

#include "domain/ids.hpp"
#include "domain/workflow/registry.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace domain::workflow {

// An instance as it is stored.
struct Instance {
    InstanceKey key;
    std::uint32_t version = 1;
    State state = {};
    std::uint32_t transitions = 0;
    Uuid first_event{};  // its id holds the time of the start
    TimePoint updated_at{};
    std::optional<TimePoint> wake_at = {};  // the earliest timer that is under way
};

// One transition, for the history.
struct Transition {
    InstanceKey key;
    std::uint32_t number = 0;  // from 1
    TimePoint at{};
    Uuid event_id{};
    std::string event;   // what came: a service, or "reply story"
    std::string status;  // of the workflow, afterwards
    std::string error;
    std::uint32_t messages = 0;
};

// A row of the outbox.
struct MessageRow {
    Uuid id;
    std::int16_t lane = 0;
    std::int64_t key_hash = 0;
    std::string topic;
    std::string key;      // of the Kafka record; empty = none
    std::string payload;  // JSON text
    std::optional<TimePoint> due_at = {};
};

// What a turn made of an instance. Pure: the whole engine but for storing.
struct TurnResult {
    std::optional<std::string> ignored = {};  // set: nothing changed
    std::optional<Refusal> refused = {};      // set: nothing changed
    std::vector<Message> messages = {};
    std::vector<Measurement> measurements = {};
    std::optional<TimePoint> wake = {};  // a timer to be set
};
TurnResult take_turn(const Definition& definition, Instance& instance, const Event& event);

// The turns of one transaction, in the order of its events.
class Batch {
public:
    // `known` has the instances of all triggers that exist, with their rows locked.
    Batch(const Registry& registry, std::map<InstanceKey, Instance> known, TimePoint now,
          std::function<Uuid()> new_id);

    // False when nothing came of it. Messages take the family's ordinals after `ordinal`, which moves on.
    bool apply(const Trigger& trigger, const Uuid& event_id, unsigned& ordinal);
    // Of the last apply().
    const std::vector<Measurement>& measurements() const { return measurements_; }

    struct Rows {
        std::vector<const Instance*> instances;  // new or changed; they live as long as the batch
        std::vector<Transition> history;
        std::vector<MessageRow> messages;
    };
    Rows take();

private:
    struct Entry {
        Instance instance;
        bool exists = false;  // else it is blank
        bool changed = false;
    };

    bool apply(const Trigger& trigger);
    void send(const InstanceKey& key, Message message);
    void send_to_self(const Trigger& trigger, TimePoint due);
    void put(std::string topic, const std::string& ordering_key, std::string record_key, std::string payload,
             std::optional<TimePoint> due = {});

    const Registry& registry_;
    std::map<InstanceKey, Entry> entries_;
    const TimePoint now_;
    const std::function<Uuid()> new_id_;  // for more messages than a family has members
    Uuid event_id_{};
    unsigned ordinal_ = 0;
    std::vector<Transition> history_;
    std::vector<MessageRow> messages_;
    std::vector<Measurement> measurements_;
};

// Topics that begin with $ are the engine's own: no pattern that is only `*` matches them.
constexpr std::string_view self_topic = "$workflow";
std::string call_topic(std::string_view endpoint);

// A call as it lies in the outbox, for whoever carries it out.
struct CallOrder {
    InstanceKey instance;
    Call call;

    std::string idempotency_key() const;
};
std::string call_json(const CallOrder& order);
CallOrder parse_call(std::string_view json);

// The columns of a stored instance.
std::string data_json(const State& state);
std::string steps_json(const State& state);
boost::json::object parse_data(std::string_view json);
std::deque<Step> parse_steps(std::string_view json);

}  // namespace domain::workflow
