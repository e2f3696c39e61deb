#pragma once

#include "domain/ids.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace domain {

// How long what is done with is kept; zero = for ever.
struct RetentionPolicy {
    std::chrono::milliseconds events{};
    std::chrono::milliseconds outbox{};  // counted from the newest message of a partition
    std::chrono::milliseconds dead_letters{};
    std::chrono::milliseconds quarantine{};
};

// The outbox begins a new partition this many times within its retention, also where traffic is so low that
// none gets full: what is kept too long is at most this part of it, and the partitions stay few.
constexpr int outbox_partitions_per_retention = 4;

struct EventPartition {
    std::string name;
    TimePoint end;  // its events are older
};

// Numbers from `first` to before `end`.
struct OutboxPartition {
    std::string name;
    std::int64_t first = 0;
    std::int64_t end = 0;
    std::optional<TimePoint> oldest = {};  // of its messages' events; nothing = it is empty
    std::optional<TimePoint> newest = {};
};

// The oldest message that a subscription has still to deliver.
struct NeededMessage {
    std::string subscription;
    std::int64_t seq = 0;
    TimePoint time;  // of its event
};

struct RetentionState {
    std::int64_t next_seq = 0;            // of the outbox's next message
    std::vector<EventPartition> events;   // oldest first
    std::vector<OutboxPartition> outbox;  // oldest first
    std::vector<NeededMessage> needed;    // at most one a subscription and reason
};

// A partition that is kept beyond its time, and for whom.
struct BlockedPartition {
    std::string name;
    std::string subscription;
};

struct RetentionPlan {
    std::vector<EventPartition> events;   // to be dropped, oldest first
    std::vector<OutboxPartition> outbox;  // to be dropped, oldest first
    std::vector<BlockedPartition> blocked;
    std::optional<std::int64_t> outbox_begins_anew_at;  // the first number of the partition after this one
};

// The subscription for which that partition must stay, if any. What a disabled subscription has not delivered
// is needed, too: it goes on where it stood.
const NeededMessage* needed_of(const OutboxPartition& partition, const std::vector<NeededMessage>& needed);

RetentionPlan plan_retention(const RetentionPolicy& policy, const RetentionState& state, TimePoint now);

}  // namespace domain
