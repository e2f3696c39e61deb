#include "app/propagate.hpp"

#include <algorithm>
#include <utility>

namespace app {
namespace {

using domain::propagation::Tick;
using domain::propagation::TryResult;

// Between two bursts of this size the transport gets its turn, so that answers are read while a backlog of
// ticks is worked off.
constexpr std::size_t ticks_per_step_max = 64;

double fraction(std::uint64_t bits)
{
    constexpr double two_to_53 = 9007199254740992.0;
    return static_cast<double>(bits >> 11U) / two_to_53;
}

}  // namespace

Propagate::Propagate(EventTransport& transport, PropagationObserver& observer, PropagationClocks clocks,
                     domain::propagation::RandomBits bits, std::vector<StreamPlan> streams)
    : transport_(transport), observer_(observer), clocks_(std::move(clocks)), bits_(std::move(bits))
{
    for (auto& plan : streams) streams_.push_back({std::move(plan)});
}

Propagate::Moment Propagate::step()
{
    const Moment now = clocks_.monotonic();
    retry_due(now);
    for (std::size_t i = 0; i < streams_.size() && !stopping_; ++i) run_ticks(i, now);
    Moment next = retries_.empty() ? Moment::max() : retries_.begin()->first;
    for (const auto& stream : streams_) {
        const auto& schedule = stream.plan.schedule;
        if (stopping_ || schedule.finished() || waits_for_room(stream)) continue;
        next = std::min(next, schedule.next());
    }
    return next;
}

bool Propagate::waits_for_room(const Stream& stream) const
{
    return stream.plan.overflow == Overflow::wait && stream.in_flight >= stream.plan.in_flight_max;
}

void Propagate::retry_due(Moment now)
{
    while (!retries_.empty() && retries_.begin()->first <= now) {
        const std::size_t slot = retries_.begin()->second;
        retries_.erase(retries_.begin());
        try_once(slot);
    }
}

void Propagate::run_ticks(std::size_t index, Moment now)
{
    auto& stream = streams_[index];
    for (std::size_t i = 0; i < ticks_per_step_max && !waits_for_room(stream); ++i) {
        const auto tick = stream.plan.schedule.take(now);
        if (!tick) return;
        // Read anew for every send: a burst must not look more punctual than it is.
        const Moment started = clocks_.monotonic();
        observer_.ticked(index, *tick, started);
        if (stream.in_flight < stream.plan.in_flight_max) {
            launch(index, *tick, started);
        } else {
            observer_.overflow(index);
        }
    }
}

std::size_t Propagate::free_slot()
{
    if (free_slots_.empty()) {
        flights_.emplace_back();
        return flights_.size() - 1;
    }
    const std::size_t slot = free_slots_.back();
    free_slots_.pop_back();
    return slot;
}

void Propagate::launch(std::size_t index, const Tick& tick, Moment now)
{
    auto& stream = streams_[index];
    const std::size_t slot = free_slot();
    auto& flight = flights_[slot];
    flight.attempt = {index, stream.plan.payloads.next(clocks_.wall()),
                      domain::to_string(domain::propagation::random_uuid(bits_))};
    flight.tick = tick.index;
    flight.ideal = tick.ideal;
    flight.started = now;
    flight.tries = 0;
    ++stream.in_flight;
    ++in_flight_;
    try_once(slot);
}

void Propagate::try_once(std::size_t slot)
{
    ++flights_[slot].tries;
    transport_.send(flights_[slot].attempt, [this, slot](const TryResult& result) { settle(slot, result); });
}

void Propagate::settle(std::size_t slot, const TryResult& result)
{
    const auto& flight = flights_[slot];
    const auto& policy = streams_[flight.attempt.stream].plan.policy;
    const auto wait = domain::propagation::wait_before_retry(policy, flight.tries, result, fraction(bits_()));
    if (!wait || abandoning_) {
        finish(slot, result);
        return;
    }
    observer_.retrying(flight.attempt.stream, result);
    retries_.emplace(clocks_.monotonic() + *wait, slot);
}

void Propagate::finish(std::size_t slot, const TryResult& result)
{
    auto& flight = flights_[slot];
    const std::size_t stream = flight.attempt.stream;
    observer_.finished(
        {stream, flight.tick, flight.ideal, flight.started, clocks_.monotonic(), flight.tries, result});
    flight.attempt.payload.reset();
    free_slots_.push_back(slot);
    --streams_[stream].in_flight;
    --in_flight_;
}

void Propagate::abandon()
{
    stopping_ = true;
    abandoning_ = true;
    transport_.abandon();
    for (const auto& [at, slot] : retries_)
        finish(slot, {.abandoned = true, .error = "given up at the stop"});
    retries_.clear();
}

bool Propagate::finished() const
{
    if (in_flight_ > 0) return false;
    return stopping_ || std::all_of(streams_.begin(), streams_.end(),
                                    [](const Stream& stream) { return stream.plan.schedule.finished(); });
}

}  // namespace app
