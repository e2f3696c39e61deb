#pragma once

#include "domain/ids.hpp"
#include "domain/trace_context.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace domain {

// One row of the outbox log.
struct OutboxMessage {
    std::int16_t lane = 0;
    std::int64_t seq = 0;       // commit order, unique over all lanes
    std::int64_t key_hash = 0;  // of the ordering key: messages with equal hashes are delivered in order
    Uuid event_id;
    std::string topic;
    std::string payload;            // JSON text
    std::string ordering_key = {};  // empty = the id of the base event
    TraceContext trace = {};
    std::optional<TimePoint> due_at = {};  // not before then
    std::uint32_t attempts = 0;            // tries that failed so far
};

// What a receiver may know the ordering key by.
std::string shown_ordering_key(const OutboxMessage& message);

enum class Verdict {
    delivered,
    retry,      // a fault that may pass: network, timeout, 408, 429, 5xx
    rejected,   // the destination will never take it: a dead letter at once
    gone,       // 410: the destination is no more, the subscription is disabled
    abandoned,  // not known, because the sink was stopped; charges no attempt
};

// Who an operator has to look at when a message died.
enum class Blame {
    destination,  // it failed until the tries were used up, or refuses everything (401, 404, 410)
    poison,       // it refuses this message (400, 413, 415, 422)
    ours,         // it was never sent: it could not be encoded, or is no longer stored
    parked,       // an operator took it out of the way
};

// As metrics, traces and dead letters name them.
std::string_view to_string(Verdict verdict);
std::string_view to_string(Blame blame);

struct DeliveryOutcome {
    Verdict verdict = Verdict::delivered;
    std::string error = {};                                // for operators; never a payload
    std::optional<std::chrono::seconds> retry_after = {};  // what the destination asked for
    unsigned status = 0;                                   // of HTTP; 0 = there was no answer
    std::string excerpt = {};                              // the start of the answer, printable
    std::string answer = {};                               // all of it, for sinks that were asked to keep it
    Blame blame = Blame::destination;
    bool charged = true;  // false: it counts as no attempt, as the probe of an open circuit breaker
};

}  // namespace domain
