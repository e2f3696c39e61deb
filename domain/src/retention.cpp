#include "domain/retention.hpp"

#include <algorithm>

namespace domain {
namespace {

// Events outlive their messages, so that whoever gets a message can look its event up.
void plan_events(RetentionPlan& plan, const RetentionPolicy& policy, const RetentionState& state,
                 TimePoint now)
{
    if (policy.events.count() == 0) return;
    for (const auto& partition : state.events) {
        if (partition.end > now - policy.events) return;
        const auto needed = std::find_if(state.needed.begin(), state.needed.end(),
                                         [&](const auto& message) { return message.time < partition.end; });
        if (needed == state.needed.end()) {
            plan.events.push_back(partition);
        } else {
            plan.blocked.push_back({partition.name, needed->subscription});
        }
    }
}

void plan_outbox(RetentionPlan& plan, const RetentionPolicy& policy, const RetentionState& state,
                 TimePoint now)
{
    if (policy.outbox.count() == 0) return;
    for (const auto& partition : state.outbox) {
        if (partition.end > state.next_seq) return;
        if (partition.newest && *partition.newest > now - policy.outbox) return;
        if (const auto* needed = needed_of(partition, state.needed)) {
            plan.blocked.push_back({partition.name, needed->subscription});
        } else {
            plan.outbox.push_back(partition);
        }
    }
}

void plan_new_partition(RetentionPlan& plan, const RetentionPolicy& policy, const RetentionState& state,
                        TimePoint now)
{
    if (policy.outbox.count() == 0) return;
    for (const auto& partition : state.outbox) {
        const bool current = partition.first <= state.next_seq && state.next_seq < partition.end;
        if (current && partition.oldest &&
            *partition.oldest <= now - policy.outbox / outbox_partitions_per_retention)
            plan.outbox_begins_anew_at = partition.end;
    }
}

}  // namespace

const NeededMessage* needed_of(const OutboxPartition& partition, const std::vector<NeededMessage>& needed)
{
    const auto at = std::find_if(needed.begin(), needed.end(),
                                 [&](const auto& message) { return message.seq < partition.end; });
    return at == needed.end() ? nullptr : &*at;
}

RetentionPlan plan_retention(const RetentionPolicy& policy, const RetentionState& state, TimePoint now)
{
    RetentionPlan plan;
    plan_events(plan, policy, state, now);
    plan_outbox(plan, policy, state, now);
    plan_new_partition(plan, policy, state, now);
    return plan;
}

}  // namespace domain
