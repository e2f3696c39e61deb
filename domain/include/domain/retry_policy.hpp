#pragma once

#include "domain/outbox.hpp"

#include <chrono>
#include <cstdint>

namespace domain {

struct RetryPolicy {
    std::uint32_t attempts_max = 5;
    std::chrono::milliseconds base{1000};
    std::chrono::milliseconds max{300'000};
};

// Exponential backoff with full jitter: anything from 0 to base * 2^(attempts-1), at most `max`; `draw` is a
// random number in [0, 1). `attempts` counts tries that failed, from 1. A destination's Retry-After is the
// least wait.
std::chrono::milliseconds retry_wait(const RetryPolicy& policy, std::uint32_t attempts, double draw,
                                     std::optional<std::chrono::seconds> retry_after);

}  // namespace domain
