#pragma once

#include "infra/trace/span.hpp"

#include <cstdint>
#include <memory>
#include <string>

namespace infra::trace {

struct TracerOptions {
    std::string endpoint;      // base URL of OTLP/HTTP; /v1/traces is appended where it is missing
    double sampled_share = 1;  // of the traces that begin here
    std::string service;       // service.name
    std::string version;
};

// Hands finished spans to an OTLP/HTTP collector, on a thread of its own. What a collector that is slow or
// down costs is the spans: the queue is bounded, and what does not fit is dropped and counted. Safe from
// every thread.
class Tracer {
public:
    explicit Tracer(TracerOptions options);
    ~Tracer();  // sends what is queued, for a second at most
    Tracer(const Tracer&) = delete;
    Tracer& operator=(const Tracer&) = delete;

    // A new span of the parent's trace, or of a new trace. The parent decides whether it is sampled; without
    // one the share does, by the trace's id, as every other program with the same share would.
    Context begin(const std::optional<Context>& parent);
    // Drops what is not sampled.
    void end(Span span);

    std::uint64_t exported() const;
    std::uint64_t dropped() const;

private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

// Null without an endpoint: tracing is off and costs a comparison.
std::unique_ptr<Tracer> make_tracer(TracerOptions options);

// The span that this thread is at; for what is called from there. Null = none.
const Context* current();

// Makes a context the current one for as long as it lives.
class Scope {
public:
    explicit Scope(const Context& context);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

private:
    const Context* before_;
};

}  // namespace infra::trace
