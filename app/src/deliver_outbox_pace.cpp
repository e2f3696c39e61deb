// When messages may go out, and when there is nothing to do.
#include "app/clocks.hpp"
#include "app/deliver_outbox.hpp"

#include <algorithm>

namespace app {

using namespace std::chrono_literals;

// What the outcome says about the destination.
void DeliverOutbox::judge(Completion& done)
{
    const bool was_closed = breaker_.closed();
    switch (done.outcome.verdict) {
        case domain::Verdict::retry:
            // What one message is told to wait holds for the destination: the others would be told the same.
            if (const auto wait = done.outcome.retry_after)
                hold_until_ = std::max(hold_until_, Clock::now() + *wait);
            done.outcome.charged = done.outcome.charged && !done.probe;
            breaker_.failed(steady_now(), done.probe);
            break;
        case domain::Verdict::delivered:
        case domain::Verdict::gone:
            breaker_.succeeded();
            break;
        case domain::Verdict::rejected:
            if (done.outcome.blame != domain::Blame::ours) {
                breaker_.succeeded();
                break;
            }
            [[fallthrough]];
        case domain::Verdict::abandoned:
            if (done.probe) breaker_.probe_lost();
            break;
    }
    if (circuit_ && was_closed != breaker_.closed()) circuit_(breaker_.closed());
}

// How many messages may go out now.
std::size_t DeliverOutbox::sendable()
{
    if (outstanding_ >= options_.in_flight_max || held()) return 0;
    std::size_t room = options_.in_flight_max - outstanding_;
    if (!breaker_.closed()) room = breaker_.allows(steady_now()) ? 1 : 0;
    if (bucket_) room = std::min(room, bucket_->tokens(steady_now()));
    return room;
}

bool DeliverOutbox::nothing_due() const
{
    if (outstanding_ > 0) return false;
    if (disabled_) return true;
    if (lanes_elsewhere_ > 0) {
        // A worker that died leaves its lanes when its lease is over; one that lives keeps them.
        if (Clock::now() < lanes_deadline_) return false;
        if (owned_.empty()) return true;
    }
    if (!found_nothing_) return false;
    // What waits for a destination that does not answer, or asked for time, is not due.
    if (!breaker_.closed() || held()) return true;
    const auto now = system_now();
    return std::none_of(owned_.begin(), owned_.end(), [this, now](const auto& entry) {
        const Owned& owned = entry.second;
        const auto due = owned.lane.next_due();
        return owned.lane.has_ready() || (due && *due <= now) || (readable(owned) && !owned.exhausted);
    });
}

DeliverOutbox::Clock::time_point DeliverOutbox::next_moment()
{
    auto moment = renew_at_;
    if (disabled_) return moment;
    const auto consider = [&moment](Clock::time_point at) { moment = std::min(moment, at); };
    consider(requests_at_);
    const bool may_send = sendable() > 0;
    bool has_work = false;
    for (const auto& [lane, owned] : owned_) {
        if (owned.surplus) continue;
        if (readable(owned)) consider(std::max(read_at_, Clock::now() + 1ms));
        if (owned.lane.unwritten()) consider(owned.lane.delivered_unwritten() ? progress_at_ : pass_at_);
        const auto due = owned.lane.next_due();
        has_work = has_work || due || owned.lane.has_ready();
        if (due && may_send)
            consider(Clock::now() + std::max(*due - system_now(), std::chrono::microseconds(1000)));
    }
    if (may_send || !has_work) return moment;
    // What is due waits for a completion, which wakes by itself, for the destination, the probe or a token.
    if (held()) {
        consider(hold_until_);
        return moment;
    }
    if (const auto probe = breaker_.next_probe()) consider(Clock::time_point(*probe));
    if (bucket_ && breaker_.closed())
        consider(Clock::time_point(std::max(bucket_->next_token(steady_now()), steady_now() + 1ms)));
    return moment;
}

}  // namespace app
