-- The event log. Ids are UUIDv7; the last byte is the ordinal in a family: 00 the base event, 01..ff the events
-- derived from it. So the family of X is the range [X, X|ff], the time of an event is in its id, and neither needs
-- a column or an index.

CREATE FUNCTION uuid7_time(id uuid) RETURNS timestamptz LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT to_timestamp(('x' || left(replace(id::text, '-', ''), 12))::bit(48)::bigint / 1000.0)
$$;

-- The smallest id of that millisecond.
CREATE FUNCTION uuid7_floor(at timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT (lpad(to_hex(floor(extract(epoch FROM at) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
$$;

CREATE FUNCTION family_base(id uuid) RETURNS uuid LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT (left(id::text, 34) || '00')::uuid
$$;

CREATE TABLE events (
    id                uuid NOT NULL,
    occurred_at       timestamptz,          -- NULL = when it was stored
    derived_count     smallint NOT NULL,    -- rule hits, suppressed ones too
    service           text NOT NULL,
    payload           jsonb NOT NULL,
    patch             jsonb,                -- normalised payload = payload || patch
    deduplication_key text,
    validation_errors jsonb,
    suppressed        uuid[],               -- by ordinal, the earlier event that suppressed a derived one
    PRIMARY KEY (id)
) PARTITION BY RANGE (id);

-- A block range index costs next to nothing per row and lets a search for a rare service skip what cannot hold it.
CREATE INDEX events_service ON events USING brin (service text_bloom_ops) WITH (pages_per_range = 64, autosummarize = on);

-- The face of an event, as GET /events shows it.
CREATE VIEW event_details AS
SELECT id,
       service,
       coalesce(occurred_at, uuid7_time(id)) AS "timestamp",
       payload,
       CASE WHEN id = family_base(id) THEN CASE WHEN patch IS NULL THEN payload ELSE payload || patch END END AS normalized_payload,
       deduplication_key,
       CASE WHEN id <> family_base(id) THEN family_base(id) END AS source_event_id,
       uuid7_time(id) AS created_at,
       validation_errors
FROM events;

-- Request keys: one event for (service, key) as long as the event is kept. digest = domain::key_digest.
CREATE TABLE request_keys (
    digest   uuid PRIMARY KEY,
    event_id uuid NOT NULL
);

-- The newest derived event of (service, key); its time is in its id.
CREATE TABLE derived_keys (
    digest   uuid PRIMARY KEY,
    event_id uuid NOT NULL
) WITH (fillfactor = 80);

-- Bodies that strict validation refused, for an operator.
CREATE TABLE quarantine (
    id         uuid PRIMARY KEY,
    service    text NOT NULL,
    body       bytea NOT NULL,
    errors     jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- One partition a day, from yesterday to `days_ahead` days from now. Attaching takes a lock that stops neither
-- readers nor writers, which CREATE TABLE ... PARTITION OF would.
CREATE FUNCTION ensure_event_partitions(days_ahead integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    day date;
    made integer = 0;
    partition text;
BEGIN
    PERFORM pg_advisory_xact_lock(7002);
    FOR offset_days IN -1 .. days_ahead LOOP
        day = (now() AT TIME ZONE 'UTC')::date + offset_days;
        partition = 'events_' || to_char(day, 'YYYYMMDD');
        CONTINUE WHEN to_regclass(partition) IS NOT NULL;
        EXECUTE format('CREATE TABLE %I (LIKE events INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', partition);
        EXECUTE format('ALTER TABLE events ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', partition,
                       uuid7_floor(day::timestamp AT TIME ZONE 'UTC'), uuid7_floor((day + 1)::timestamp AT TIME ZONE 'UTC'));
        made = made + 1;
    END LOOP;
    RETURN made;
END
$$;

SELECT ensure_event_partitions(3);
