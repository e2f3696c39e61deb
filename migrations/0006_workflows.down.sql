DELETE FROM subscriptions WHERE settings->>'sink' LIKE 'workflow:%';
CREATE OR REPLACE FUNCTION topic_matches(topic text, patterns text[]) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT EXISTS (SELECT FROM unnest(patterns) p
                   WHERE p = topic OR (right(p, 1) = '*' AND starts_with(topic, left(p, -1))))
$$;
DROP INDEX outbox_retries_parked;
DROP INDEX outbox_retries_due;
ALTER TABLE dead_letters DROP COLUMN key;
ALTER TABLE outbox DROP COLUMN due_at, DROP COLUMN key;
DROP VIEW workflow_steps;
DROP TABLE workflow_history;
DROP TABLE workflow_instances;
