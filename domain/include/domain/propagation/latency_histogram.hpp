#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace domain::propagation {

// A high-dynamic-range histogram: buckets whose width grows with the value, so that every value from 1 ns to
// value_max is kept with an error below 1/2048 of itself, in constant memory and with no sorting. Values
// beyond value_max count as value_max. Not thread safe.
class LatencyHistogram {
public:
    static constexpr std::chrono::nanoseconds value_max = std::chrono::hours{1};

    LatencyHistogram();

    void record(std::chrono::nanoseconds value);

    std::uint64_t count() const { return count_; }
    // All zero while nothing is recorded.
    std::chrono::nanoseconds min() const;
    std::chrono::nanoseconds max() const { return max_; }
    std::chrono::nanoseconds mean() const;
    // The least value that `percent` of the recorded ones do not exceed.
    std::chrono::nanoseconds percentile(double percent) const;

private:
    std::vector<std::uint64_t> buckets_;
    std::uint64_t count_ = 0;
    std::chrono::nanoseconds min_{};
    std::chrono::nanoseconds max_{};
    double sum_ns_ = 0;
};

}  // namespace domain::propagation
