-- :count base events of the load's mix in the baseline's tables, so that its indexes have a size.
WITH base AS MATERIALIZED (SELECT gen_random_uuid() AS id, n, n % 4 AS kind FROM generate_series(1, :count) n),
base_event AS (
    INSERT INTO events (id, service, "timestamp", payload, normalized_payload, deduplication_key, created_at)
    SELECT id, (ARRAY ['health', 'energy', 'transport', 'security'])[kind + 1], now(), p, p,
           CASE WHEN n % 8 < 4 THEN 'filled-' || n END, now()
    FROM base, LATERAL (SELECT jsonb_build_object('patient_id', n, 'alert', 'emergency', 'location', 'ward') AS p) body),
derived AS (
    INSERT INTO events (id, service, "timestamp", payload, source_event_id, deduplication_key, created_at)
    SELECT gen_random_uuid(), 'security', now(), jsonb_build_object('alert', 'possible_risk', 'n', n), id, 'derived-' || n, now()
    FROM base, generate_series(1, CASE kind WHEN 0 THEN 2 WHEN 1 THEN 1 ELSE 0 END))
INSERT INTO outbox_messages (id, topic, payload, status, attempts, created_at)
SELECT gen_random_uuid(), 'event.security', jsonb_build_object('alert', 'possible_risk', 'n', n), 'pending', 0, now()
FROM base, generate_series(1, CASE kind WHEN 0 THEN 2 WHEN 1 THEN 1 ELSE 0 END);
