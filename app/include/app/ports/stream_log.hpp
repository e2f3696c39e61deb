#pragma once

#include "app/ports/event_log.hpp"
#include "domain/stream.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace app {

// A message that did not become an event, with everything an operator needs to see and to repeat it.
struct QuarantinedMessage {
    domain::Uuid id;
    std::string service;  // empty = it could not be told
    domain::RejectReason reason{};
    std::string detail;
    std::string field_errors;  // JSON array
    domain::StreamMessage message;
};

// What one transaction stores of a stream: events, what could not become one, and the positions after them.
struct StreamBatch {
    std::string group;
    std::vector<domain::PreparedEvent> events;
    std::vector<QuarantinedMessage> quarantined;
    // Empty = the broker keeps the positions, and may repeat what is stored already.
    std::vector<domain::PositionStep> steps;
};

// The event log as a stream's consumer writes it: the positions advance in the events' own transaction, and
// only from where the batch says they stand, so no message is stored twice and none is left out.
class StreamLog {
public:
    virtual ~StreamLog() = default;
    // Never blocks; `done` is called exactly once, on any thread. After the refusal `poison` the entries of
    // `events` that are empty name the events that the database refuses.
    virtual void append_stream(std::shared_ptr<const StreamBatch> batch, EventLog::Done done) = 0;
};

using Positions = std::map<domain::PartitionId, std::int64_t>;

// The stored positions. Blocks; throws when the database is not reachable.
class PositionStore {
public:
    virtual ~PositionStore() = default;
    virtual Positions read(const std::string& group, const std::vector<domain::PartitionId>& partitions) = 0;
    // Stores the first position of partitions that have none, and leaves all others alone.
    virtual void begin(const std::string& group, const Positions& first) = 0;
};

}  // namespace app
