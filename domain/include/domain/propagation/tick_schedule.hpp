#pragma once

#include "domain/propagation/pace.hpp"

#include <cstdint>
#include <limits>
#include <optional>

namespace domain::propagation {

// What becomes of ticks whose successor is already due.
enum class MissedTicks {
    skip,     // only the newest due tick happens, the ones before it never do
    catch_up  // all of them happen, late and back to back
};

struct Tick {
    std::uint64_t index = 0;
    Moment ideal;
    std::uint64_t skipped = 0;  // ticks left out just before this one
    bool caught_up = false;     // it was missed and happens all the same
};

// The ticks of one stream. Tick 0 is due at once. Not thread safe.
class TickSchedule {
public:
    static constexpr std::uint64_t endless = std::numeric_limits<std::uint64_t>::max();

    TickSchedule(Moment start, Pace pace, MissedTicks missed, std::uint64_t ticks_max = endless);

    // The next tick, when it is due. To be called until it is empty.
    std::optional<Tick> take(Moment now);

    bool finished() const { return next_ >= ticks_max_; }
    // When the next tick is due; meaningless once finished.
    Moment next() const { return start_ + pace_.offset(next_); }

private:
    Moment start_;
    Pace pace_;
    MissedTicks missed_;
    std::uint64_t ticks_max_;
    std::uint64_t next_ = 0;
};

}  // namespace domain::propagation
