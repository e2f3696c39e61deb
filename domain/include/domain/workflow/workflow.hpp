#pragma once

#include "domain/workflow/event.hpp"

#include <boost/json/object.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

// A workflow is a pure state machine: (state, event) -> (state, steps, messages). It says what is to happen;
// the engine stores it in the transaction of the event, and the outbox acts.
namespace domain::workflow {

// --- State

enum class StepStatus { pending, completed, skipped, failed };

std::string_view to_string(StepStatus status);

struct Step {
    std::string name;
    StepStatus status = StepStatus::pending;
    std::uint32_t attempts = 1;  // how often it was begun
    TimePoint started_at{};      // of the last attempt
    std::optional<TimePoint> ended_at = {};
    std::optional<TimePoint> deadline = {};  // of a pending one
    std::string error = {};
    boost::json::object data = {};  // what the machine keeps with it

    bool pending() const { return status == StepStatus::pending; }
};

struct State {
    std::string status = {};  // in the workflow's own words
    bool ended = false;
    std::string error = {};
    boost::json::object data = {};  // what the machine remembers
    std::deque<Step> steps = {};    // in the order they were first begun; a deque, so that references last

    Step* find(std::string_view step);
    const Step* find(std::string_view step) const;
};

// --- Messages

// To whoever subscribes to the topic. `key` orders messages, and is the key of the Kafka record.
struct Publish {
    std::string topic;
    std::string key;
    boost::json::object payload;
};

// An HTTP request to a configured endpoint, for a pending step. It always ends in one Reply: the answer, or
// the failure once the tries are used up. `Idempotency-Key` is workflow/id/step/attempt in every try.
struct Call {
    std::string endpoint;
    std::string method = "POST";
    std::string path = {};         // after the endpoint's URL, with its query
    boost::json::value body = {};  // null = none
    std::string step = {};         // filled by Turn::call
    std::uint32_t attempt = 0;     // filled by Turn::call
};

using Message = std::variant<Publish, Call>;

// --- Limits. A turn that would go beyond one ends its workflow `failed` with an error that names it.

constexpr std::size_t steps_max = 1000;
constexpr std::size_t messages_max = 2000;  // of one turn
constexpr std::size_t state_bytes_max = std::size_t{1} << 20U;
constexpr std::size_t message_bytes_max = std::size_t{1} << 20U;
constexpr std::uint32_t transitions_max = 10'000;  // which is how long a history can be
constexpr std::size_t instance_id_chars_max = 200;

// --- A turn

// Why an operator's wish cannot be fulfilled.
struct Refusal {
    enum class Kind { unsupported, not_found } kind;
    std::string text;
};

struct Measurement {
    std::string name;  // of a metric
    double value = 0;

    bool operator==(const Measurement&) const = default;
};

// What a machine does with one event: it changes the state, and adds messages. A plain value: nothing has
// happened until the engine has stored it.
class Turn {
public:
    Turn(State before, TimePoint at) : state(std::move(before)), now(at) {}

    State state;
    const TimePoint now;

    // Begins a step, or begins it again. Every pending step has a deadline, so that no workflow hangs.
    Step& begin(std::string_view step, std::chrono::milliseconds deadline);
    // Adds a step that is at its end already.
    Step& add(std::string_view step, StepStatus status, std::string error = {});
    void finish(Step& step, StepStatus status, std::string error = {});

    void publish(std::string topic, std::string key, boost::json::object payload);
    void call(const Step& step, Call call);

    // The workflow is under way: its status, in its own words.
    void proceed(std::string_view status);
    void end(std::string_view status, std::string error = {});

    // The event changes nothing: it is late, early or a repeat. Nothing of this turn is stored.
    void ignore(std::string why);
    void refuse(Refusal::Kind kind, std::string text);

    void measure(std::string name, double value);

    const std::vector<Message>& messages() const { return messages_; }
    const std::optional<std::string>& ignored() const { return ignored_; }
    const std::optional<Refusal>& refused() const { return refused_; }
    const std::vector<Measurement>& measurements() const { return measurements_; }
    bool stands() const { return !ignored_ && !refused_; }

private:
    std::vector<Message> messages_;
    std::vector<Measurement> measurements_;
    std::optional<std::string> ignored_;
    std::optional<Refusal> refused_;
};

// --- A definition

// Whose id an event carries: text and whole numbers are ids; empty = the event has none.
using IdOf = std::function<std::string(const boost::json::object& payload)>;

// The member of that name.
IdOf id_member(std::string member);

struct Listen {
    std::string service;
    IdOf id;
    bool starts = false;
};

// One version of a workflow. An instance stays with the version that it began with.
struct Definition {
    std::string name;
    std::uint32_t version = 1;
    std::string id_name = "id";  // how people call an instance's id: route_id
    std::vector<Listen> listens;
    // Gets events that concern it only: Incoming, Reply, Overdue and Restart. Must not throw; if it does, the
    // workflow ends failed.
    std::function<void(Turn& turn, const Event& event)> decide;
};

// What is configurable about the workflows.
struct Settings {
    std::chrono::milliseconds step_deadline{std::chrono::hours{1}};
    bool city_guide_legacy_topic = false;  // `tts` beside `tts.requested`
    // Tasks travel through the hub, for at most so long; empty = they are carried out at once.
    std::optional<std::chrono::milliseconds> task_hub_patience = {};
};

}  // namespace domain::workflow
