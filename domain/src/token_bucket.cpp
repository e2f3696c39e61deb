#include "domain/token_bucket.hpp"

#include <algorithm>
#include <cmath>

namespace domain {
namespace {

constexpr double least_rate = 1e-6;
constexpr double nanoseconds_per_second = 1e9;

}  // namespace

TokenBucket::TokenBucket(double rate_per_second, Time now)
    : rate_(std::max(rate_per_second, least_rate)), tokens_(1), filled_at_(now)
{
}

void TokenBucket::set_rate(double rate_per_second, Time now)
{
    refill(now);
    rate_ = std::max(rate_per_second, least_rate);
}

void TokenBucket::refill(Time now)
{
    if (now <= filled_at_) return;
    const double seconds = static_cast<double>((now - filled_at_).count()) / nanoseconds_per_second;
    tokens_ = std::min(tokens_ + seconds * rate_, std::max(rate_, 1.0));
    filled_at_ = now;
}

std::size_t TokenBucket::tokens(Time now)
{
    refill(now);
    return static_cast<std::size_t>(std::max(tokens_, 0.0));
}

void TokenBucket::take() { tokens_ -= 1; }

TokenBucket::Time TokenBucket::next_token(Time now)
{
    refill(now);
    const double missing = std::max(1 - tokens_, 0.0);
    // A day is long enough to look again, and keeps a tiny rate within the range of the type.
    const double seconds = std::min(missing / rate_, 86'400.0);
    return now + Time{static_cast<Time::rep>(std::ceil(seconds * nanoseconds_per_second))};
}

}  // namespace domain
