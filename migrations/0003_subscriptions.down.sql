DROP FUNCTION add_subscription(text, text[], jsonb, jsonpath, text, boolean, boolean);
DROP FUNCTION outbox_end();

DROP VIEW outbox_messages;
DELETE FROM subscriptions WHERE origin <> 'built-in';
DELETE FROM dead_letters WHERE replayed_at IS NOT NULL;
ALTER TABLE dead_letters DROP COLUMN id, DROP COLUMN reason, DROP COLUMN history, DROP COLUMN replayed_at;
ALTER TABLE outbox_retries DROP COLUMN history, DROP COLUMN adopted, DROP COLUMN parked;
ALTER TABLE outbox_workers DROP COLUMN subscription_id;
ALTER TABLE lane_cursors DROP COLUMN first_seq;
ALTER TABLE subscriptions DROP COLUMN settings, DROP COLUMN filter_path, DROP COLUMN origin, DROP COLUMN disabled_reason,
    DROP COLUMN revision, DROP COLUMN updated_at;

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
JOIN subscriptions s ON topic_matches(o.topic, s.topics)
JOIN lane_cursors c ON c.subscription_id = s.id AND c.lane = o.lane
LEFT JOIN outbox_retries r ON r.subscription_id = s.id AND r.lane = o.lane AND r.seq = o.seq
LEFT JOIN dead_letters d ON d.subscription_id = s.id AND d.lane = o.lane AND d.seq = o.seq;
