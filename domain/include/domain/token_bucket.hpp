#pragma once

#include <chrono>
#include <cstddef>

namespace domain {

// Limits a rate: `rate` tokens a second, at most a second's worth (and at least one) saved up. Times are of
// any clock that never runs backwards.
class TokenBucket {
public:
    using Time = std::chrono::nanoseconds;

    TokenBucket(double rate_per_second, Time now);

    // Several workers share a limit by the lanes they own; tokens that were saved up stay.
    void set_rate(double rate_per_second, Time now);
    std::size_t tokens(Time now);
    void take();
    // When the next token is there; now or earlier when one is.
    Time next_token(Time now);

private:
    void refill(Time now);

    double rate_;
    double tokens_;
    Time filled_at_;
};

}  // namespace domain
