#include "domain/propagation/pace.hpp"

#include <cassert>
#include <cmath>

namespace domain::propagation {
namespace {

// Nanoseconds of a year times steps of a fast pace are beyond 64 bits.
__extension__ using Wide = unsigned __int128;

Wide wide(Nanoseconds duration) { return static_cast<Wide>(duration.count()); }

}  // namespace

Pace Pace::every(Nanoseconds period)
{
    assert(period.count() > 0);
    return {period, 1};
}

std::optional<Pace> Pace::per_second(double rate)
{
    if (!(rate >= rate_min && rate <= rate_max)) return std::nullopt;
    const auto per_thousand_seconds = static_cast<std::uint64_t>(std::llround(rate * 1000));
    return Pace(std::chrono::seconds{1000}, per_thousand_seconds);
}

Nanoseconds Pace::offset(std::uint64_t index) const
{
    return Nanoseconds(static_cast<std::int64_t>(Wide{index} * wide(span_) / steps_));
}

std::uint64_t Pace::index_at(Nanoseconds elapsed) const
{
    // Offsets are rounded down: step k is due when k * span / steps < elapsed + 1.
    const Wide end = (wide(elapsed) + 1) * steps_;
    return static_cast<std::uint64_t>((end - 1) / wide(span_));
}

std::uint64_t Pace::steps_within(Nanoseconds duration) const
{
    return duration.count() <= 0 ? 0 : index_at(duration - Nanoseconds{1}) + 1;
}

}  // namespace domain::propagation
