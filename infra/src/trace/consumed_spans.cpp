#include "infra/trace/consumed_spans.hpp"

#include <utility>

namespace infra::trace {
namespace {

// More than two batches have. What stays open belongs to partitions that another consumer has now.
constexpr std::size_t open_spans_max = 8192;

}  // namespace

domain::TraceContext ConsumedSpans::begin(const domain::StreamMessage& message, domain::TraceContext incoming)
{
    Span span;
    span.parent = parse_traceparent(incoming.parent);
    span.context = tracer_.begin(span.parent);
    if (leaves_no_trace(span.parent, span.context)) return incoming;
    incoming.parent = to_traceparent(span.context);
    if (!span.context.sampled) return incoming;
    span.name = "process " + message.partition.topic;
    span.kind = Kind::consumer;
    span.start = std::chrono::system_clock::now();
    span.attributes = {{"messaging.system", std::string(system_)},
                       {"messaging.operation.type", "process"},
                       {"messaging.destination.name", message.partition.topic},
                       {"messaging.destination.partition.id", std::to_string(message.partition.number)},
                       {"polis.position", message.offset}};
    if (open_.size() >= open_spans_max) open_.clear();
    open_.insert_or_assign(incoming.parent, std::move(span));
    return incoming;
}

void ConsumedSpans::end(const domain::TraceContext& stored, std::string_view outcome)
{
    auto found = open_.extract(stored.parent);
    if (found.empty()) return;
    auto& span = found.mapped();
    span.end = std::chrono::system_clock::now();
    span.attributes.push_back({"polis.outcome", std::string(outcome)});
    tracer_.end(std::move(span));
}

}  // namespace infra::trace
