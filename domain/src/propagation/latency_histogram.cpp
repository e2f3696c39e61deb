#include "domain/propagation/latency_histogram.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

namespace domain::propagation {
namespace {

// Values below 2 * halves have a bucket each; above, every doubling is cut into `halves` buckets.
constexpr unsigned halves_bits = 11;
constexpr std::uint64_t halves = std::uint64_t{1} << halves_bits;

std::size_t bucket_of(std::uint64_t value)
{
    const auto width = static_cast<unsigned>(std::bit_width(value));
    if (width <= halves_bits + 1) return value;
    const unsigned shift = width - halves_bits - 1;
    return shift * halves + (value >> shift);
}

// The largest value of a bucket: a percentile must not be flattered.
std::uint64_t upper_end(std::size_t bucket)
{
    if (bucket < 2 * halves) return bucket;
    const std::uint64_t shift = bucket / halves - 1;
    return ((bucket - shift * halves + 1) << shift) - 1;
}

}  // namespace

LatencyHistogram::LatencyHistogram() : buckets_(bucket_of(static_cast<std::uint64_t>(value_max.count())) + 1)
{
}

void LatencyHistogram::record(std::chrono::nanoseconds value)
{
    const auto bounded = std::clamp(value, std::chrono::nanoseconds{0}, value_max);
    ++buckets_[bucket_of(static_cast<std::uint64_t>(bounded.count()))];
    min_ = count_ == 0 ? bounded : std::min(min_, bounded);
    max_ = std::max(max_, bounded);
    sum_ns_ += static_cast<double>(bounded.count());
    ++count_;
}

std::chrono::nanoseconds LatencyHistogram::min() const { return min_; }

std::chrono::nanoseconds LatencyHistogram::mean() const
{
    if (count_ == 0) return {};
    return std::chrono::nanoseconds(std::llround(sum_ns_ / static_cast<double>(count_)));
}

std::chrono::nanoseconds LatencyHistogram::percentile(double percent) const
{
    if (count_ == 0) return {};
    const double share = std::clamp(percent, 0.0, 100.0) / 100 * static_cast<double>(count_);
    const auto wanted = std::max<std::uint64_t>(1, static_cast<std::uint64_t>(std::ceil(share)));
    std::uint64_t seen = 0;
    for (std::size_t bucket = 0; bucket < buckets_.size(); ++bucket) {
        seen += buckets_[bucket];
        if (seen < wanted) continue;
        return std::min(max_, std::chrono::nanoseconds(static_cast<std::int64_t>(upper_end(bucket))));
    }
    return max_;
}

}  // namespace domain::propagation
