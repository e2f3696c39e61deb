-- Workflows: what the engine (domain/adr/0006) stores in the transaction of an event.

-- One row an instance. The primary key finds it, and its row lock orders its events.
CREATE TABLE workflow_instances (
    workflow    text NOT NULL,
    id          text NOT NULL,          -- the sender's
    version     integer NOT NULL,       -- of the definition; stays
    status      text NOT NULL,          -- in the workflow's own words
    ended       boolean NOT NULL,
    error       text,
    data        jsonb NOT NULL,         -- what the machine remembers
    steps       jsonb NOT NULL,         -- [{"step","status","attempts","started_at","ended_at","deadline","error","data"}], times in microseconds
    transitions integer NOT NULL,
    first_event uuid NOT NULL,          -- holds the time of the start, and orders the list
    updated_at  timestamptz NOT NULL,
    wake_at     timestamptz,            -- the earliest timer under way
    PRIMARY KEY (id, workflow)
) WITH (fillfactor = 70);

CREATE INDEX workflow_instances_recent ON workflow_instances (first_event);

CREATE TABLE workflow_history (
    workflow text NOT NULL,
    id       text NOT NULL,
    number   integer NOT NULL,          -- of the transition, from 1
    at       timestamptz NOT NULL,
    event_id uuid NOT NULL,
    event    text NOT NULL,             -- a service, or "reply STEP", "restart STEP", "wake"
    status   text NOT NULL,             -- of the workflow, afterwards
    error    text,
    messages integer NOT NULL,
    PRIMARY KEY (id, workflow, number)
);

CREATE VIEW workflow_steps AS
SELECT w.workflow, w.id, s.value->>'step' AS step, s.value->>'status' AS status,
       (s.value->>'attempts')::integer - 1 AS retries, s.value->>'error' AS error, s.number
FROM workflow_instances w, jsonb_array_elements(w.steps) WITH ORDINALITY s(value, number);

-- `key`: the text of the ordering key where it matters, as the key of a Kafka record. `due_at`: not before then.
ALTER TABLE outbox ADD COLUMN key text, ADD COLUMN due_at timestamptz;
ALTER TABLE dead_letters ADD COLUMN key text;

-- What is due is found without reading what is not.
CREATE INDEX outbox_retries_due ON outbox_retries (subscription_id, next_at) WHERE NOT adopted AND delivered_at IS NULL;
CREATE INDEX outbox_retries_parked ON outbox_retries (subscription_id) WHERE NOT adopted AND parked;

-- As in MQTT: topics that begin with $ are the system's own, and only a pattern that begins with $ matches them.
CREATE OR REPLACE FUNCTION topic_matches(topic text, patterns text[]) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT EXISTS (SELECT FROM unnest(patterns) p
                   WHERE p = topic OR (right(p, 1) = '*' AND starts_with(topic, left(p, -1))
                                       AND starts_with(topic, '$') = starts_with(p, '$')))
$$;
