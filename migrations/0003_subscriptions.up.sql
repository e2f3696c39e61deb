-- Subscriptions with settings of their own, dead letters that say why and can be replayed.

-- `settings` is what was asked for, as domain::parse_subscription reads it, without name, topics and `enabled`.
-- `revision` grows with every change; a running worker compares it.
ALTER TABLE subscriptions
    ADD COLUMN settings jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN filter_path jsonpath,          -- the same filter, for the views
    ADD COLUMN origin text NOT NULL DEFAULT 'built-in' CHECK (origin IN ('built-in', 'configuration', 'api')),
    ADD COLUMN disabled_reason text,
    ADD COLUMN revision bigint NOT NULL DEFAULT 1,
    ADD COLUMN updated_at timestamptz NOT NULL DEFAULT now();

-- Rows up to here were there before the subscription and are none of its messages.
ALTER TABLE lane_cursors ADD COLUMN first_seq bigint NOT NULL DEFAULT 0;

-- A worker is counted once for every subscription it serves.
ALTER TABLE outbox_workers ADD COLUMN subscription_id smallint;
CREATE INDEX outbox_workers_subscription ON outbox_workers (subscription_id);

-- `history`: the tries that failed, [{"at", "status", "error", "excerpt"}]. `adopted` is false where an operator put
-- or marked the row and no worker has seen that yet; `parked` = to become a dead letter at once.
ALTER TABLE outbox_retries
    ADD COLUMN history jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN adopted boolean NOT NULL DEFAULT true,
    ADD COLUMN parked boolean NOT NULL DEFAULT false;
CREATE INDEX outbox_retries_requested ON outbox_retries (subscription_id, lane, seq) WHERE NOT adopted;

-- `replayed_at`: on the shelf again. The row stays, since it may be the last copy of the message.
ALTER TABLE dead_letters
    ADD COLUMN id uuid NOT NULL DEFAULT gen_random_uuid(),
    ADD COLUMN reason text NOT NULL DEFAULT 'destination' CHECK (reason IN ('destination', 'poison', 'ours', 'parked')),
    ADD COLUMN history jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN replayed_at timestamptz;
CREATE UNIQUE INDEX dead_letters_id ON dead_letters (id);
CREATE INDEX dead_letters_recent ON dead_letters (died_at, id);

CREATE OR REPLACE VIEW outbox_messages AS
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

-- The last row that has committed. The fence holds writers back for as long as this transaction lives, so no row
-- with a smaller number can still come.
CREATE FUNCTION outbox_end() RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    PERFORM outbox_fence();
    RETURN (SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM outbox_seq);
END
$$;

-- Returns nothing when the name is taken. 16 lanes = domain::lane_count.
CREATE FUNCTION add_subscription(subscription_name text, patterns text[], wanted jsonb, path jsonpath, made_by text,
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
