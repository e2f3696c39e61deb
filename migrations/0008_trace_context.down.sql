ALTER TABLE quarantine
    DROP COLUMN request_key,
    DROP COLUMN occurred_at,
    DROP COLUMN traceparent,
    DROP COLUMN tracestate;

ALTER TABLE outbox
    DROP COLUMN traceparent,
    DROP COLUMN tracestate;

ALTER TABLE events
    DROP COLUMN traceparent,
    DROP COLUMN tracestate;
