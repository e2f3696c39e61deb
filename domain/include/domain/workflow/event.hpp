#pragma once

#include "domain/ids.hpp"

#include <boost/json/object.hpp>

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

namespace domain::workflow {

// One run of a workflow. The id is the sender's: a route, a task, a project.
struct InstanceKey {
    std::string workflow;
    std::string id;

    auto operator<=>(const InstanceKey&) const = default;
};

// An event of a service that the workflow listens to, from HTTP or Kafka alike.
struct Incoming {
    std::string service;
    boost::json::object payload;
};

// How a call ended. It comes exactly once for a pending step: what is late or repeated is dropped before.
struct Reply {
    std::string step;
    std::uint32_t attempt = 0;     // of the step: a reply to an earlier one is late
    unsigned status = 0;           // of HTTP; 0 = no answer came
    boost::json::value body = {};  // null where the answer was no JSON
    std::string error = {};        // empty = 2xx

    bool ok() const { return error.empty(); }
};

// A step's deadline has passed; the engine has made it failed already.
struct Overdue {
    std::string step;
};

// An operator wants a step again.
struct Restart {
    std::string step;
    bool only_failed = false;
};

// A timer went off: `due` names it. Never seen by a machine, which gets Overdue.
struct Wake {
    TimePoint due;
};

using What = std::variant<Incoming, Reply, Overdue, Restart, Wake>;

struct Event {
    TimePoint at;  // when it is being stored
    What what;
};

// What an event of the log means to one instance.
struct Trigger {
    InstanceKey instance;
    What what;
    bool starts = false;  // makes the instance where there is none
};

// For people: "incoming", "reply", ...
std::string_view name_of(const What& what);

// The service of events that workflows send to themselves. No sender can use it: `$` is in no service's name.
constexpr std::string_view self_service = "$workflow";

// Replies, wakes and whatever comes back later travel as JSON. Throws std::exception where it is none of
// ours.
std::string trigger_json(const Trigger& trigger);
Trigger parse_trigger(std::string_view json);

}  // namespace domain::workflow
