#pragma once

#include "domain/outbox.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace app {

// Where messages of one subscription go. send() is called on the delivery thread and must not block on the
// network; `done` is called exactly once for every message, on any thread, also during stop().
class MessageSink {
public:
    using Done = std::function<void(domain::DeliveryOutcome)>;

    virtual ~MessageSink() = default;
    virtual void send(const domain::OutboxMessage& message, Done done) = 0;

    // Abandons what is still in flight; their `done` gets Verdict::abandoned. Idempotent.
    virtual void stop() = 0;
};

}  // namespace app
