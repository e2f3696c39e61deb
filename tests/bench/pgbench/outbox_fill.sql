-- :count messages that wait for delivery, spread over the lanes as the ordering keys would.
INSERT INTO outbox (seq, lane, key_hash, event_id, topic, payload)
SELECT nextval('outbox_seq'), (n % 16)::int2, n, (lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0')
           || '7' || substr(md5(n::text), 1, 3) || '8' || substr(md5(n::text), 4, 13) || '01')::uuid, 'event.security',
       jsonb_build_object('alert', 'possible_risk', 'reason', 'critical_energy_usage', 'neighborhood', 'district ' || n, 'energy', 650.5)
FROM generate_series(1, :count) n;
