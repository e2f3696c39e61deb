#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

namespace domain::propagation {

using Nanoseconds = std::chrono::nanoseconds;

// A point on a monotonic clock that the caller reads.
using Moment = std::chrono::time_point<std::chrono::steady_clock, Nanoseconds>;

constexpr double rate_max = 1'000'000;
constexpr double rate_min = 0.001;

// A number of equal steps in a span of time. The moment of a step is computed from its index and never from
// the step before it, so that nothing adds up however long it runs.
class Pace {
public:
    // `period` is positive.
    static Pace every(Nanoseconds period);
    // Steps per second, exact to a thousandth. Empty outside of rate_min to rate_max.
    static std::optional<Pace> per_second(double rate);

    // From step 0 to step `index`, rounded down.
    Nanoseconds offset(std::uint64_t index) const;
    // The last step that is not after `elapsed`, which is not negative.
    std::uint64_t index_at(Nanoseconds elapsed) const;
    // How many steps lie in [0, duration).
    std::uint64_t steps_within(Nanoseconds duration) const;

private:
    Pace(Nanoseconds span, std::uint64_t steps) : span_(span), steps_(steps) {}

    Nanoseconds span_;
    std::uint64_t steps_;
};

}  // namespace domain::propagation
