-- The rows that Polis writes for the load of the bench, made by the server itself: base events :first to :last of the
-- mix in one statement and one transaction. bench.py puts the \set lines of the ceiling in front.
WITH base AS MATERIALIZED (
    SELECT i, i % 4 AS kind, :run::int8 * 10000000000 + :n::int8 * 100 + i AS n,
           lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0') || '7' || lpad(to_hex(i), 3, '0')
               || '8' || substr(md5(:run::text || '-' || :n::text || '-' || i), 1, 13) AS id
    FROM generate_series(:first::int4, :last::int4) i),
family AS MATERIALIZED (
    SELECT (id || '00')::uuid AS id, i, 0 AS ordinal, CASE kind WHEN 0 THEN 2 WHEN 1 THEN 1 ELSE 0 END::int2 AS derived_count,
           CASE kind WHEN 0 THEN 'health' WHEN 1 THEN 'energy' WHEN 2 THEN 'transport' ELSE 'security' END AS service,
           CASE kind WHEN 0 THEN '{"patient_id":' || n || ',"alert":"emergency","location":"ward ' || n % 97 || '"}'
                     WHEN 1 THEN '{"energy":' || 501 + n % 400 || '.5,"neighborhood":"district ' || n || '"}'
                     WHEN 2 THEN '{"bus_id":' || n || ',"lat":41.38' || n % 1000 || ',"lon":2.17' || n % 1000 || '}'
                     ELSE '{"alert": true,"camera_trigger":"camera ' || n || '"}' END::jsonb AS payload,
           CASE WHEN i % 8 < 4 THEN 'request-' || n END AS key
    FROM base
    UNION ALL
    SELECT (id || '01')::uuid, i, 1, 0::int2, 'transport', ('{"action":"dispatch_nearest_vehicle","reason":"health_emergency","location":"ward '
        || n % 97 || '","patient_id":' || n || '}')::jsonb, 'health_emergency_' || n FROM base WHERE kind = 0
    UNION ALL
    SELECT (id || '02')::uuid, i, 2, 0::int2, 'security', ('{"priority":"high","action":"escort_and_clear_traffic","reason":"health_emergency","location":"ward '
        || n % 97 || '","patient_id":' || n || '}')::jsonb, 'health_emergency_' || n FROM base WHERE kind = 0
    UNION ALL
    SELECT (id || '01')::uuid, i, 1, 0::int2, 'security', ('{"alert":"possible_risk","reason":"critical_energy_usage","neighborhood":"district '
        || n || '","energy":' || 501 + n % 400 || '.5}')::jsonb, 'critical_energy_usage_district ' || n FROM base WHERE kind = 1),
request AS (
    INSERT INTO request_keys (digest, event_id) SELECT md5(service || key)::uuid, id FROM family
    WHERE ordinal = 0 AND key IS NOT NULL ON CONFLICT (digest) DO UPDATE SET event_id = EXCLUDED.event_id),
derived AS (
    INSERT INTO derived_keys (digest, event_id) SELECT md5(service || key)::uuid, id FROM family WHERE ordinal > 0
    ON CONFLICT (digest) DO UPDATE SET event_id = EXCLUDED.event_id),
event AS (
    INSERT INTO events (id, derived_count, service, payload, deduplication_key)
    SELECT id, derived_count, service, payload, key FROM family ORDER BY id)
INSERT INTO outbox (seq, lane, key_hash, event_id, topic, payload)
SELECT nextval('outbox_seq'), (i % 16)::int2, hashtextextended(key, 0), id, 'event.' || service, payload
FROM family WHERE ordinal > 0;
