#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

namespace domain::propagation {

// What one try came to. A status of 0: there was no whole answer (refused, reset, cut off, timed out, not
// HTTP).
struct TryResult {
    unsigned status = 0;
    std::optional<std::chrono::seconds> retry_after = {};
    bool abandoned = false;  // given up by us when we stopped
    const char* error = "";  // why there was no answer; a text that lives for ever
};

enum class Waits {
    fixed,       // 0.2, 0.5, 1, 1, ... s
    exponential  // anything below base, 2 * base, 4 * base, ... up to the longest wait
};

struct SendPolicy {
    std::uint32_t tries_max = 3;
    Waits waits = Waits::fixed;
    std::chrono::milliseconds wait_base{200};
    std::chrono::milliseconds wait_max{30'000};
};

// A receiver may ask for a longer wait, but not park a send, which holds a place in flight, for hours.
constexpr std::chrono::seconds retry_after_max{60};

// No answer, or an answer of 400 and above.
bool is_failure(const TryResult& result);

// The wait after that many failed tries, at least 1.
std::chrono::milliseconds fixed_wait(std::uint32_t failed_tries);

// How long to wait before the next try; empty when this result is final. `tries` counts this one; `draw` is a
// random number in [0, 1).
std::optional<std::chrono::milliseconds> wait_before_retry(const SendPolicy& policy, std::uint32_t tries,
                                                           const TryResult& result, double draw);

}  // namespace domain::propagation
