#include "domain/retry_policy.hpp"

#include <algorithm>

namespace domain {

std::chrono::milliseconds retry_wait(const RetryPolicy& policy, std::uint32_t attempts, double draw,
                                     std::optional<std::chrono::seconds> retry_after)
{
    auto ceiling = policy.base;
    for (std::uint32_t i = 1; i < attempts && ceiling < policy.max; ++i) ceiling *= 2;
    ceiling = std::min(ceiling, policy.max);
    std::chrono::milliseconds wait{static_cast<std::int64_t>(static_cast<double>(ceiling.count()) * draw)};
    if (retry_after) wait = std::max(wait, std::chrono::milliseconds(*retry_after));
    return wait;
}

}  // namespace domain
