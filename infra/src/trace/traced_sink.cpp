#include "infra/trace/traced_sink.hpp"

#include "domain/ids.hpp"

namespace infra::trace {
namespace {

double seconds_since(domain::TimePoint time, Time now)
{
    return std::chrono::duration<double>(now - time).count();
}

}  // namespace

TracedSink::TracedSink(std::unique_ptr<app::MessageSink> sink, Tracer& tracer, std::string subscription)
    : sink_(std::move(sink)), tracer_(tracer), subscription_(std::move(subscription))
{
}

void TracedSink::send(const domain::OutboxMessage& message, Done done)
{
    const auto stored = parse_traceparent(message.trace.parent);
    Span span;
    span.context = tracer_.begin(std::nullopt);
    if (stored) span.context.sampled = stored->sampled;
    auto copy = message;
    copy.trace.parent = to_traceparent(span.context);
    if (!span.context.sampled) return sink_->send(copy, std::move(done));
    span.name = "deliver " + message.topic;
    span.kind = Kind::producer;
    span.start = std::chrono::system_clock::now();
    if (stored) span.links.push_back(*stored);
    span.attributes = {
        {"messaging.system", "polis"},
        {"messaging.operation.type", "send"},
        {"messaging.destination.name", message.topic},
        {"messaging.message.id", domain::to_string(message.event_id)},
        {"polis.subscription", subscription_},
        {"polis.outbox.wait_seconds", seconds_since(domain::id_time(message.event_id), span.start)}};
    sink_->send(copy, [this, span = std::move(span),
                       done = std::move(done)](domain::DeliveryOutcome outcome) mutable {
        span.end = std::chrono::system_clock::now();
        span.attributes.push_back({"polis.outcome", std::string(domain::to_string(outcome.verdict))});
        span.failed = outcome.verdict != domain::Verdict::delivered;
        tracer_.end(std::move(span));
        done(std::move(outcome));
    });
}

}  // namespace infra::trace
