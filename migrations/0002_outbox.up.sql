-- The outbox is a log: rows are only ever appended, in lanes (hash of the ordering key), and delivery is a cursor
-- per subscription and lane. Success moves the cursor and writes nothing per row; what failed is on the shelf.

CREATE SEQUENCE outbox_seq CACHE 1;

CREATE TABLE outbox (
    seq      bigint NOT NULL DEFAULT nextval('outbox_seq'),
    key_hash bigint NOT NULL,
    event_id uuid NOT NULL,
    lane     smallint NOT NULL,
    topic    text NOT NULL,
    payload  jsonb NOT NULL,
    PRIMARY KEY (lane, seq)
) PARTITION BY RANGE (seq);

-- Ids and rows ascend together, so a block range index finds the messages of an event for almost nothing.
CREATE INDEX outbox_event ON outbox USING brin (event_id) WITH (pages_per_range = 16, autosummarize = on);

-- The fence: rows are numbered and committed in one order, so that a cursor never passes a row that is still to
-- come. The trigger takes it for every writer, also for one that does not know of it; it fires before the first
-- row asks for its number.
CREATE FUNCTION outbox_fence() RETURNS void LANGUAGE sql AS $$
    SELECT pg_advisory_xact_lock(7001)
$$;

CREATE FUNCTION outbox_take_fence() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM outbox_fence();
    RETURN NULL;
END
$$;

CREATE TRIGGER outbox_fence BEFORE INSERT ON outbox FOR EACH STATEMENT EXECUTE FUNCTION outbox_take_fence();

-- Partitions of five million rows, at least two beyond the one that is being written.
CREATE FUNCTION ensure_outbox_partitions() RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    step constant bigint = 5000000;
    current_step bigint = (SELECT last_value FROM outbox_seq) / step;
    made integer = 0;
    partition text;
BEGIN
    PERFORM pg_advisory_xact_lock(7002);
    FOR n IN current_step .. current_step + 2 LOOP
        partition = 'outbox_' || n;
        CONTINUE WHEN to_regclass(partition) IS NOT NULL;
        EXECUTE format('CREATE TABLE %I (LIKE outbox INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', partition);
        EXECUTE format('CREATE TRIGGER outbox_fence BEFORE INSERT ON %I FOR EACH STATEMENT EXECUTE FUNCTION outbox_take_fence()', partition);
        EXECUTE format('ALTER TABLE outbox ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', partition, n * step, (n + 1) * step);
        made = made + 1;
    END LOOP;
    RETURN made;
END
$$;

SELECT ensure_outbox_partitions();

CREATE TABLE subscriptions (
    id         smallint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text NOT NULL UNIQUE,
    topics     text[] NOT NULL DEFAULT '{*}',   -- exact names, or prefixes that end in *
    disabled   boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE FUNCTION topic_matches(topic text, patterns text[]) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT EXISTS (SELECT FROM unnest(patterns) p
                   WHERE p = topic OR (right(p, 1) = '*' AND starts_with(topic, left(p, -1))))
$$;

-- `owner` is one incarnation of a worker; `epoch` grows with every change of owner and is the fencing token.
CREATE TABLE lane_cursors (
    subscription_id smallint NOT NULL REFERENCES subscriptions ON DELETE CASCADE,
    lane            smallint NOT NULL,
    acked_seq       bigint NOT NULL DEFAULT 0,
    epoch           bigint NOT NULL DEFAULT 0,
    owner           uuid,
    lease_until     timestamptz NOT NULL DEFAULT '-infinity',
    PRIMARY KEY (subscription_id, lane)
) WITH (fillfactor = 10);

-- When a cursor passed which row: what published_at is told from.
CREATE TABLE lane_progress (
    subscription_id smallint NOT NULL REFERENCES subscriptions ON DELETE CASCADE,
    lane            smallint NOT NULL,
    acked_seq       bigint NOT NULL,
    acked_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (subscription_id, lane, acked_seq)
);

-- The retry shelf: what failed, and what waits behind a failed message of its key (attempts 0). A row stays after
-- its delivery, because it tells of the attempts.
CREATE TABLE outbox_retries (
    subscription_id smallint NOT NULL REFERENCES subscriptions ON DELETE CASCADE,
    lane            smallint NOT NULL,
    seq             bigint NOT NULL,
    key_hash        bigint NOT NULL,
    attempts        integer NOT NULL,
    next_at         timestamptz NOT NULL,
    last_error      text,
    delivered_at    timestamptz,
    PRIMARY KEY (subscription_id, lane, seq)
);

CREATE INDEX outbox_retries_waiting ON outbox_retries (subscription_id, lane, seq) WHERE delivered_at IS NULL;

CREATE TABLE dead_letters (
    subscription_id smallint NOT NULL REFERENCES subscriptions ON DELETE CASCADE,
    lane            smallint NOT NULL,
    seq             bigint NOT NULL,
    key_hash        bigint NOT NULL,
    event_id        uuid NOT NULL,
    topic           text NOT NULL,
    payload         jsonb NOT NULL,
    attempts        integer NOT NULL,
    last_error      text NOT NULL,
    died_at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (subscription_id, lane, seq)
);

-- Living workers, so that each takes its share of the lanes.
CREATE TABLE outbox_workers (
    id      uuid PRIMARY KEY,
    seen_at timestamptz NOT NULL
);

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

-- 16 lanes = domain::lane_count.
CREATE FUNCTION add_subscription(subscription_name text, patterns text[]) RETURNS smallint LANGUAGE sql AS $$
    WITH s AS (INSERT INTO subscriptions (name, topics) VALUES (subscription_name, patterns) RETURNING id),
         c AS (INSERT INTO lane_cursors (subscription_id, lane) SELECT s.id, lane FROM s, generate_series(0, 15) lane)
    SELECT id FROM s
$$;

SELECT add_subscription('default', '{*}');
