#pragma once

#include "domain/propagation/send_policy.hpp"

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

namespace app {

// One try to send one event.
struct Attempt {
    std::size_t stream = 0;
    std::shared_ptr<const std::string> payload;
    std::string idempotency_key;  // the same for every try of one event
};

// Carries events to the receivers of the streams. Used by one thread, which also performs the I/O.
class EventTransport {
public:
    // Called once per send(), from that thread, never from inside send(); it may call send() again.
    using Done = std::function<void(const domain::propagation::TryResult&)>;

    EventTransport() = default;
    EventTransport(const EventTransport&) = delete;
    EventTransport& operator=(const EventTransport&) = delete;
    virtual ~EventTransport() = default;

    // Starts the try and returns at once.
    virtual void send(const Attempt& attempt, Done done) = 0;
    // Ends every try under way: each is reported as abandoned before this returns.
    virtual void abandon() = 0;
};

}  // namespace app
