#pragma once

#include "domain/stream.hpp"
#include "domain/trace_context.hpp"
#include "infra/trace/tracer.hpp"

#include <string_view>
#include <unordered_map>

namespace infra::trace {

// A span for every message of a stream that becomes an event: from its decoding to the commit. Consumer's
// thread only.
class ConsumedSpans {
public:
    // `system` is a constant: messaging.system of OpenTelemetry.
    ConsumedSpans(Tracer& tracer, std::string_view system) : tracer_(tracer), system_(system) {}

    // Begins one, of the message's trace or of a new one. Returns what is to be stored with the event in
    // place of `incoming`, so that deliveries link to this span.
    domain::TraceContext begin(const domain::StreamMessage& message, domain::TraceContext incoming);
    // The event that has this context is stored, or was before: `outcome` is a constant.
    void end(const domain::TraceContext& stored, std::string_view outcome);

private:
    Tracer& tracer_;
    const std::string_view system_;
    std::unordered_map<std::string, Span> open_;  // sampled ones, by traceparent
};

}  // namespace infra::trace
