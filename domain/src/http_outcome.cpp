#include "domain/http_outcome.hpp"

#include <algorithm>
#include <string>

namespace domain {
namespace {

Verdict verdict_of(unsigned status)
{
    constexpr unsigned request_timeout = 408;
    constexpr unsigned gone = 410;
    constexpr unsigned too_many_requests = 429;
    if (status >= 200 && status <= 299) return Verdict::delivered;
    if (status >= 500 && status <= 599) return Verdict::retry;
    if (status == request_timeout || status == too_many_requests) return Verdict::retry;
    return status == gone ? Verdict::gone : Verdict::rejected;
}

}  // namespace

DeliveryOutcome classify_http_status(unsigned status, std::optional<std::chrono::seconds> retry_after)
{
    DeliveryOutcome outcome{.verdict = verdict_of(status)};
    if (outcome.verdict == Verdict::delivered) return outcome;
    outcome.error = "HTTP " + std::to_string(status);
    outcome.status = status;
    if (status == 400 || status == 413 || status == 415 || status == 422) outcome.blame = Blame::poison;
    if (outcome.verdict == Verdict::retry && retry_after) {
        outcome.retry_after = std::clamp(*retry_after, std::chrono::seconds{0}, http_retry_after_max);
    }
    return outcome;
}

}  // namespace domain
