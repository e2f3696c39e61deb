#pragma once

#include "app/ports/message_sink.hpp"

#include <chrono>
#include <memory>
#include <string>

namespace infra {

struct KafkaSinkOptions {
    std::string bootstrap_servers;
    std::string topic = {};               // empty = the message's own
    std::chrono::milliseconds timeout{};  // until the broker has acknowledged, librdkafka's tries included
    std::string subscription = {};        // sent as `ce_subscription` when not empty
};

// Produces each message as a CloudEvent in binary mode: value = payload, `ce_*` headers, and as the record's
// key the message's, or the hash of its ordering key, so that a key stays in one partition. The producer is
// idempotent, and a message is done when the broker's report says so. All reports come on one thread of the
// sink.
class KafkaSink final : public app::MessageSink {
public:
    // Throws std::runtime_error when librdkafka refuses the configuration.
    explicit KafkaSink(KafkaSinkOptions options);
    ~KafkaSink() override;
    KafkaSink(const KafkaSink&) = delete;
    KafkaSink& operator=(const KafkaSink&) = delete;

    void send(const domain::OutboxMessage& message, Done done) override;
    void stop() override;

private:
    class Producer;
    std::unique_ptr<Producer> producer_;
};

}  // namespace infra
