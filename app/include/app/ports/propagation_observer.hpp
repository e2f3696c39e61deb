#pragma once

#include "domain/propagation/pace.hpp"
#include "domain/propagation/send_policy.hpp"
#include "domain/propagation/tick_schedule.hpp"

#include <cstddef>
#include <cstdint>

namespace app {

// One event whose sending has come to its end.
struct FinishedSend {
    std::size_t stream = 0;
    std::uint64_t tick = 0;
    domain::propagation::Moment ideal;
    domain::propagation::Moment started;  // of the first try
    domain::propagation::Moment ended;
    std::uint32_t tries = 0;
    domain::propagation::TryResult result;  // of the last try
};

// Is told what happens, on the thread that makes it happen, and must be quick.
class PropagationObserver {
public:
    PropagationObserver() = default;
    PropagationObserver(const PropagationObserver&) = delete;
    PropagationObserver& operator=(const PropagationObserver&) = delete;
    virtual ~PropagationObserver() = default;

    // A tick begins a send `now`, unless overflow() follows.
    virtual void ticked(std::size_t stream, const domain::propagation::Tick& tick,
                        domain::propagation::Moment now) = 0;
    // There was no room in flight: this tick sends nothing.
    virtual void overflow(std::size_t stream) = 0;
    // A try failed and will be repeated.
    virtual void retrying(std::size_t stream, const domain::propagation::TryResult& result) = 0;
    virtual void finished(const FinishedSend& send) = 0;
};

}  // namespace app
