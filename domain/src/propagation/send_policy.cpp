#include "domain/propagation/send_policy.hpp"

#include "domain/retry_policy.hpp"

#include <algorithm>
#include <array>

namespace domain::propagation {
namespace {

constexpr std::array<std::chrono::milliseconds, 3> fixed_waits{
    std::chrono::milliseconds{200}, std::chrono::milliseconds{500}, std::chrono::milliseconds{1000}};

bool may_pass(const TryResult& result)
{
    constexpr unsigned request_timeout = 408;
    constexpr unsigned too_many_requests = 429;
    const unsigned status = result.status;
    return status == 0 || status == request_timeout || status == too_many_requests || status >= 500;
}

}  // namespace

bool is_failure(const TryResult& result) { return result.status == 0 || result.status >= 400; }

std::chrono::milliseconds fixed_wait(std::uint32_t failed_tries)
{
    return fixed_waits[std::min<std::size_t>(failed_tries, fixed_waits.size()) - 1];
}

std::optional<std::chrono::milliseconds> wait_before_retry(const SendPolicy& policy, std::uint32_t tries,
                                                           const TryResult& result, double draw)
{
    if (result.abandoned || tries >= policy.tries_max || !may_pass(result)) return std::nullopt;
    auto wait = policy.waits == Waits::fixed
                    ? fixed_wait(tries)
                    : retry_wait({policy.tries_max, policy.wait_base, policy.wait_max}, tries, draw, {});
    if (result.retry_after) {
        wait = std::max(wait, std::chrono::milliseconds(std::min(*result.retry_after, retry_after_max)));
    }
    return wait;
}

}  // namespace domain::propagation
