#pragma once

#include "domain/outbox.hpp"
#include "infra/sinks/amqp_sink.hpp"
#include "sinks/amqp_target.hpp"

#include <amqp.h>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>

namespace infra::sinks {

// The connection is of no use any more, or could not be made.
class AmqpFault : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

// What the broker said about messages.
struct BrokerWord {
    enum class Kind { confirmed, refused, returned };

    Kind kind = Kind::confirmed;
    std::uint64_t tag = 0;    // of confirmed and refused
    bool up_to = false;       // and of all before it
    std::string message_id;   // of returned
    std::string reason = {};  // of returned
};

// One connection with one channel in confirm mode, on librabbitmq. Every method blocks for at most the
// timeout, except publish(): it waits while the broker takes no bytes, until the kernel gives the connection
// up after the timeout or somebody shuts the socket down. For one thread.
class AmqpConnection {
public:
    AmqpConnection(const AmqpTarget& target, const AmqpSinkOptions& options);
    ~AmqpConnection();
    AmqpConnection(const AmqpConnection&) = delete;
    AmqpConnection& operator=(const AmqpConnection&) = delete;

    int socket() const { return amqp_get_sockfd(state_.get()); }

    // Messages are numbered from 1: the tags of the broker's words.
    void publish(const domain::OutboxMessage& message);

    // What has arrived, without waiting. It also keeps the heartbeat, so call it at least as often as
    // `beat_interval`.
    std::optional<BrokerWord> next();

    // Tells the broker good-bye.
    void close();

    static constexpr std::chrono::milliseconds beat_interval{2'000};

private:
    struct StateDelete {
        void operator()(amqp_connection_state_t_* state) const { amqp_destroy_connection(state); }
    };

    void open_socket();
    void login();
    BrokerWord read_returned(const amqp_frame_t& frame);

    const AmqpTarget& target_;
    const AmqpSinkOptions& options_;
    std::unique_ptr<amqp_connection_state_t_, StateDelete> state_;
};

}  // namespace infra::sinks
