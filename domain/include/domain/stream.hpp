#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// Messages of a partitioned log (Kafka) and the pure decisions about them: which service a message belongs
// to, which offset comes next, when a partition must wait.
namespace domain {

struct PartitionId {
    std::string topic;
    std::int32_t number = 0;

    auto operator<=>(const PartitionId&) const = default;
};

struct StreamMessage {
    PartitionId partition;
    std::int64_t offset = 0;
    std::optional<std::string> key = {};
    std::optional<std::string> value = {};  // empty optional = a tombstone
    std::vector<std::pair<std::string, std::string>> headers = {};

    std::size_t bytes() const;
    // Last header of that name, whatever its case; empty when absent.
    std::string_view header(std::string_view name) const;
};

// --- Routing

// Where the service of a topic's messages is told.
enum class RouteBy { service, record, header };

struct TopicRoute {
    RouteBy by = RouteBy::service;
    std::string name;  // the service, or the header's name

    bool operator==(const TopicRoute&) const = default;
};

// "energy", "record:" or "header:NAME"; empty when it is none of them.
std::optional<TopicRoute> parse_topic_route(std::string_view text);

struct RouteTable {
    std::map<std::string, TopicRoute, std::less<>> topics;
    // Service of an Avro record's full name, or of a header's value. A name without an entry is its own
    // service.
    std::map<std::string, std::string, std::less<>> services;

    // The service of a message; empty when it cannot be told. `record` is the full name of its Avro record,
    // or empty.
    std::string service_of(const StreamMessage& message, std::string_view record) const;
};

// --- Offsets

// What one transaction does to the stored position of one partition: refused unless it stands at `from`.
// Offsets may have gaps (compaction, transactions), so `from` is the stored position, not the first message's
// offset.
struct PositionStep {
    PartitionId partition;
    std::int64_t from = 0;
    std::int64_t to = 0;

    bool operator==(const PositionStep&) const = default;
};

// The bookkeeping of one assigned partition: stored <= taken <= received.
class PartitionPosition {
public:
    explicit PartitionPosition(std::int64_t stored) : stored_(stored), received_(stored) {}

    // False for a message that was there before: a repeat is dropped.
    bool receive(std::int64_t offset);
    void store(std::int64_t next) { stored_ = next; }

    std::int64_t stored() const { return stored_; }
    std::int64_t received() const { return received_; }

private:
    std::int64_t stored_;    // next offset to store
    std::int64_t received_;  // next offset that is not a repeat
};

// --- Flow control

struct FlowLimits {
    std::size_t messages_max = 2000;                // that wait, of one partition
    std::size_t bytes_max = std::size_t{8} << 20U;  // that wait, of one partition
};

enum class Flow { keep, pause, resume };

// A partition pauses at either limit and resumes when both are half free, so that it does not flap.
Flow decide_flow(bool paused, std::size_t messages, std::size_t bytes, const FlowLimits& limits);

// --- Quarantine

// Why a message could not become an event. Stable texts: people filter by them.
enum class RejectReason {
    no_value,
    too_large,
    short_frame,
    bad_magic,
    unknown_schema,
    bad_schema,
    schema_mismatch,
    bad_record,
    not_json,
    bad_envelope,
    no_service,
    unknown_service,
    invalid,
    refused_by_database,
};

std::string_view to_string(RejectReason reason);

}  // namespace domain
