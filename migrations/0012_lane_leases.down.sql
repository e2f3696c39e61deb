ALTER TABLE lane_leases ADD COLUMN acked_seq bigint NOT NULL DEFAULT 0;
UPDATE lane_leases l SET acked_seq = c.acked_seq FROM lane_cursors c WHERE c.subscription_id = l.subscription_id AND c.lane = l.lane;
DROP VIEW outbox_messages;
DROP VIEW lane_cursors;
ALTER TABLE lane_leases RENAME TO lane_cursors;

CREATE VIEW outbox_messages AS
SELECT md5(s.name || '/' || o.seq)::uuid AS id,
       o.topic,
       o.payload,
       CASE WHEN d.seq IS NOT NULL THEN 'failed'
            WHEN r.seq IS NOT NULL THEN CASE WHEN r.delivered_at IS NULL THEN 'pending' ELSE 'sent' END
            WHEN o.seq <= c.acked_seq THEN 'sent'
            ELSE 'pending' END AS status,
       coalesce(d.attempts, r.attempts, 0) AS attempts,
       CASE WHEN d.seq IS NOT NULL THEN NULL
            WHEN r.seq IS NOT NULL THEN r.delivered_at
            WHEN o.seq <= c.acked_seq THEN (SELECT p.acked_at FROM lane_progress p
                                            WHERE p.subscription_id = s.id AND p.lane = o.lane AND p.acked_seq >= o.seq
                                            ORDER BY p.acked_seq LIMIT 1) END AS published_at,
       uuid7_time(o.event_id) AS created_at,
       o.event_id,
       s.name AS subscription,
       coalesce(d.last_error, r.last_error) AS last_error,
       o.seq
FROM outbox o
JOIN subscriptions s ON topic_matches(o.topic, s.topics) AND (s.filter_path IS NULL OR o.payload @@ s.filter_path)
JOIN lane_cursors c ON c.subscription_id = s.id AND c.lane = o.lane AND o.seq > c.first_seq
LEFT JOIN outbox_retries r ON r.subscription_id = s.id AND r.lane = o.lane AND r.seq = o.seq
LEFT JOIN dead_letters d ON d.subscription_id = s.id AND d.lane = o.lane AND d.seq = o.seq AND d.replayed_at IS NULL;

CREATE OR REPLACE FUNCTION add_subscription(subscription_name text, patterns text[], wanted jsonb, path jsonpath, made_by text,
                                 from_beginning boolean, off boolean) RETURNS smallint LANGUAGE plpgsql AS $$
DECLARE
    made smallint;
    start_seq bigint = 0;
BEGIN
    INSERT INTO subscriptions (name, topics, settings, filter_path, origin, disabled, disabled_reason)
    VALUES (subscription_name, patterns, wanted, path, made_by, off, CASE WHEN off THEN 'asked for' END)
    ON CONFLICT (name) DO NOTHING RETURNING id INTO made;
    IF made IS NOT NULL THEN
        IF NOT from_beginning THEN
            start_seq = outbox_end();
        END IF;
        INSERT INTO lane_cursors (subscription_id, lane, acked_seq, first_seq)
        SELECT made, lane, start_seq, start_seq FROM generate_series(0, 15) lane;
    END IF;
    RETURN made;
END
$$;

CREATE OR REPLACE FUNCTION add_subscription(subscription_name text, patterns text[]) RETURNS smallint LANGUAGE sql AS $$
    WITH s AS (INSERT INTO subscriptions (name, topics) VALUES (subscription_name, patterns) RETURNING id),
         c AS (INSERT INTO lane_cursors (subscription_id, lane) SELECT s.id, lane FROM s, generate_series(0, 15) lane)
    SELECT id FROM s
$$;
