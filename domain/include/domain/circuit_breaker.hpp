#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

namespace domain {

struct BreakerLimits {
    std::uint32_t failures = 20;  // in a row
    // Before the first probe; doubles. So short that a hiccup of a busy destination costs it next to nothing,
    // and a dead one is left alone before its failures, each of which is written, cost the other destinations
    // anything.
    std::chrono::nanoseconds pause = std::chrono::milliseconds{50};
    std::chrono::nanoseconds pause_max = std::chrono::seconds{30};
};

// Keeps messages back from a destination that answers nothing: closed -> open after a row of failures; after
// a pause one message goes as a probe (half open), whose failure charges no attempt and makes the next pause
// twice as long; any success closes. Times are of any clock that never runs backwards.
class CircuitBreaker {
public:
    using Time = std::chrono::nanoseconds;

    explicit CircuitBreaker(BreakerLimits limits = {}) : limits_(limits) {}

    bool closed() const { return !open_; }
    // Whether a message may be sent; while it is open that message is the probe.
    bool allows(Time now) const { return !open_ || (!probing_ && now >= probe_at_); }
    // When allows() may become true by itself.
    std::optional<Time> next_probe() const;

    void probe_sent() { probing_ = true; }
    void succeeded();
    void failed(Time now, bool was_probe);
    // The probe ended without telling anything.
    void probe_lost() { probing_ = false; }

private:
    BreakerLimits limits_;
    bool open_ = false;
    bool probing_ = false;
    std::uint32_t failures_ = 0;
    Time probe_at_{};
    Time pause_{};
};

}  // namespace domain
