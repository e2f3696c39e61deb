#pragma once

#include "amqp/connection.hpp"
#include "domain/outbox.hpp"
#include "infra/sinks/amqp_sink.hpp"

#include <cstdint>
#include <optional>
#include <string>

namespace infra::sinks {

// What the broker said about messages.
struct BrokerWord {
    enum class Kind { confirmed, refused, returned };

    Kind kind = Kind::confirmed;
    std::uint64_t tag = 0;    // of confirmed and refused
    bool up_to = false;       // and of all before it
    std::string message_id;   // of returned
    std::string reason = {};  // of returned
};

// A connection in confirm mode. Every method blocks for at most the timeout, except publish(): it waits while
// the broker takes no bytes, until the kernel gives the connection up after the timeout or somebody shuts the
// socket down. For one thread.
class AmqpPublisher {
public:
    AmqpPublisher(const amqp::Target& target, const AmqpSinkOptions& options);

    int socket() const { return connection_.socket(); }

    // Messages are numbered from 1: the tags of the broker's words.
    void publish(const domain::OutboxMessage& message);

    // What has arrived, without waiting. It also keeps the heartbeat, so call it at least as often as
    // `amqp::beat_interval`.
    std::optional<BrokerWord> next();

    // Tells the broker good-bye.
    void close() { connection_.close(); }

private:
    BrokerWord read_returned(const amqp_frame_t& frame);

    const amqp::Target& target_;
    const AmqpSinkOptions& options_;
    amqp::Connection connection_;
};

}  // namespace infra::sinks
