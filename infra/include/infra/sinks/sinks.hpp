#pragma once

#include "app/ports/message_sink.hpp"
#include "domain/subscription.hpp"
#include "infra/config/config.hpp"

#include <memory>
#include <mutex>

namespace infra {

// `null:` takes every message and does nothing.
class NullSink final : public app::MessageSink {
public:
    void send(const domain::OutboxMessage& message, Done done) override;
    void stop() override {}
};

// `log:` shows every message, with its payload, as one JSON line on standard output:
//     {"topic":"event.bus","event_id":"...","payload":{...}}
// Not through the logger, which never holds payloads and writes to standard error.
class LogSink final : public app::MessageSink {
public:
    void send(const domain::OutboxMessage& message, Done done) override;
    void stop() override {}

private:
    std::mutex mutex_;  // a line is written whole
};

// The sink of the `default` subscription.
std::unique_ptr<app::MessageSink> make_sink(const OutboxConfig& outbox, const KafkaConfig& kafka = {});

// The sink of another one. What was made over the API reaches public addresses and allowed networks only.
std::unique_ptr<app::MessageSink> make_sink(const OutboxConfig& outbox, const KafkaConfig& kafka,
                                            const std::string& subscription,
                                            const domain::SubscriptionSettings& settings, bool trusted);

}  // namespace infra
