#pragma once

#include "app/ports/message_sink.hpp"
#include "domain/address_policy.hpp"

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace infra {

struct AmqpSinkOptions {
    std::string url;                      // as amqp/target.hpp describes it
    std::chrono::milliseconds timeout{};  // of connecting, and of one message until the broker's word
    std::string subscription = {};        // sent as `cloudEvents_subscription` when not empty
    std::vector<std::pair<std::string, std::string>> headers = {};
    std::optional<domain::AddressPolicy> guard = {};  // asked before every connection
};

// Publishes each message to an exchange of an AMQP 0-9-1 broker (RabbitMQ): persistent, mandatory, with
// publisher confirms. A message is done when the broker has confirmed it; one that no queue takes comes back
// and is rejected. One thread holds the connection, makes it anew when it is lost, and calls `done`; so
// `done` must not block, may call send(), and must not call stop() nor destroy the sink.
class AmqpSink final : public app::MessageSink {
public:
    // Throws std::invalid_argument when the URL is none.
    explicit AmqpSink(AmqpSinkOptions options);
    ~AmqpSink() override;
    AmqpSink(const AmqpSink&) = delete;
    AmqpSink& operator=(const AmqpSink&) = delete;

    void send(const domain::OutboxMessage& message, Done done) override;
    void stop() override;

private:
    class Loop;
    std::unique_ptr<Loop> loop_;
};

}  // namespace infra
