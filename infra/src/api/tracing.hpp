#pragma once

#include "app/ports/event_log.hpp"
#include "infra/http/router.hpp"
#include "infra/trace/tracer.hpp"

namespace infra::api {

// The route's handler with a server span around it. What the handler sees as `traceparent` is that span, so
// that it is what is stored with an event and handed on. Routes of probes, of pages and of endless answers
// stay as they are.
http::Handler traced(trace::Tracer& tracer, const http::Route& route);

// The event log with a span from handing events over to their commit.
class TracedEventLog final : public app::EventLog {
public:
    // `tracer` may be null: then it only hands on.
    TracedEventLog(app::EventLog& log, trace::Tracer* tracer) : log_(log), tracer_(tracer) {}

    void append(std::vector<domain::PreparedEvent> events, Done done) override;

private:
    app::EventLog& log_;
    trace::Tracer* const tracer_;
};

}  // namespace infra::api
