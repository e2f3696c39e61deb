#pragma once

#include "amqp/connection.hpp"
#include "app/queue_message.hpp"

#include <chrono>
#include <cstdint>
#include <optional>

namespace infra::amqp {

// A connection that consumes the target's queue and acknowledges by hand. Throws Fault, after which it is of
// no use. For one thread.
class Receiver {
public:
    Receiver(const Target& target, const ConnectOptions& options);

    // It also keeps the heartbeat, so call it at least as often as `beat_interval`.
    std::optional<app::QueueDelivery> next(std::chrono::milliseconds wait);
    // Instead of next(), where nothing may be taken for a while.
    void beat();
    // All deliveries up to this one.
    void acknowledge(std::uint64_t tag);
    void close() { connection_.close(); }

private:
    void read_other_frame();

    Connection connection_;
    std::chrono::steady_clock::time_point beat_at_{};
};

}  // namespace infra::amqp
