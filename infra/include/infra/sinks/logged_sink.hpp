#pragma once

#include "app/ports/message_sink.hpp"

#include <memory>
#include <string>

namespace infra {

// A sink that logs every try that failed, with the ids that lead to the message. Repeats are limited by the
// log.
class LoggedSink final : public app::MessageSink {
public:
    LoggedSink(std::unique_ptr<app::MessageSink> sink, std::string subscription);

    void send(const domain::OutboxMessage& message, Done done) override;
    void stop() override { sink_->stop(); }

private:
    const std::unique_ptr<app::MessageSink> sink_;
    const std::string subscription_;
};

}  // namespace infra
