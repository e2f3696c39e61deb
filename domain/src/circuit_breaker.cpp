#include "domain/circuit_breaker.hpp"

#include <algorithm>

namespace domain {

std::optional<CircuitBreaker::Time> CircuitBreaker::next_probe() const
{
    if (!open_ || probing_) return std::nullopt;
    return probe_at_;
}

void CircuitBreaker::succeeded()
{
    open_ = false;
    probing_ = false;
    failures_ = 0;
}

void CircuitBreaker::failed(Time now, bool was_probe)
{
    if (open_) {
        if (!was_probe) return;  // sent before it opened: nothing new
        probing_ = false;
        pause_ = std::min(pause_ * 2, limits_.pause_max);
        probe_at_ = now + pause_;
        return;
    }
    ++failures_;
    if (limits_.failures == 0 || failures_ < limits_.failures) return;
    open_ = true;
    pause_ = limits_.pause;
    probe_at_ = now + pause_;
}

}  // namespace domain
