#pragma once

#include "app/ports/message_sink.hpp"
#include "infra/trace/tracer.hpp"

#include <memory>
#include <string>

namespace infra::trace {

// A sink with a span around every try. The span is the root of a trace of its own, linked to the span that
// stored the message: minutes and retries may lie between the two. Whether it is sampled, that one has
// decided; where none is stored, this one decides.
class TracedSink final : public app::MessageSink {
public:
    TracedSink(std::unique_ptr<app::MessageSink> sink, Tracer& tracer, std::string subscription);

    void send(const domain::OutboxMessage& message, Done done) override;
    void stop() override { sink_->stop(); }

private:
    const std::unique_ptr<app::MessageSink> sink_;
    Tracer& tracer_;
    const std::string subscription_;
};

}  // namespace infra::trace
