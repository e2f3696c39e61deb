#pragma once

#include "domain/outbox.hpp"

#include <chrono>
#include <optional>

namespace domain {

// A destination may ask for a longer pause, but it must not be able to park a message for days.
constexpr std::chrono::seconds http_retry_after_max = std::chrono::hours{1};

// What the answer of a destination means for the message. 3xx is final: redirects are not followed, since
// they would lead to a place that nobody configured.
DeliveryOutcome classify_http_status(unsigned status, std::optional<std::chrono::seconds> retry_after);

}  // namespace domain
