-- W3C Trace Context (domain/trace_context.hpp) of the request or message an event came with, and of every outgoing
-- message that follows from it. A derived event has that of its base event.
ALTER TABLE events
    ADD COLUMN traceparent text,
    ADD COLUMN tracestate text;

ALTER TABLE outbox
    ADD COLUMN traceparent text,
    ADD COLUMN tracestate text;

-- What was refused over HTTP is kept one row an event, with what came beside its payload.
ALTER TABLE quarantine
    ADD COLUMN request_key text,
    ADD COLUMN occurred_at timestamptz,
    ADD COLUMN traceparent text,
    ADD COLUMN tracestate text;
