#include "domain/propagation/tick_schedule.hpp"

#include <algorithm>

namespace domain::propagation {

TickSchedule::TickSchedule(Moment start, Pace pace, MissedTicks missed, std::uint64_t ticks_max)
    : start_(start), pace_(pace), missed_(missed), ticks_max_(ticks_max)
{
}

std::optional<Tick> TickSchedule::take(Moment now)
{
    if (finished() || now < next()) return std::nullopt;
    const std::uint64_t newest = std::min(pace_.index_at(now - start_), ticks_max_ - 1);
    Tick tick;
    if (missed_ == MissedTicks::skip) {
        tick.skipped = newest - next_;
        next_ = newest;
    } else {
        tick.caught_up = newest > next_;
    }
    tick.index = next_;
    tick.ideal = next();
    ++next_;
    return tick;
}

}  // namespace domain::propagation
