#pragma once

// The statements of the outbox store.
namespace infra::pg {

// $1 = this worker, $2 = the subscription, $3 = 1 while its circuit breaker is open. Workers that were not
// seen for the length of a lease do not count.
constexpr const char* alive_sql =
    "INSERT INTO outbox_workers AS w (id, subscription_id, seen_at, circuit_open_since) "
    "VALUES ($1::uuid, $2::int2, now(), CASE WHEN $3::int8 = 1 THEN now() END) "
    "ON CONFLICT (id) DO UPDATE SET seen_at = now(), circuit_open_since = CASE WHEN $3::int8 = 1 THEN "
    "coalesce(w.circuit_open_since, now()) END";
constexpr const char* share_sql =
    "SELECT ceil((SELECT count(*) FROM lane_leases WHERE subscription_id = $1::int2)::numeric / "
    "greatest(1, (SELECT count(*) FROM outbox_workers WHERE subscription_id = $1::int2 AND seen_at > now() - "
    "interval '10 s')))::int, "
    "(SELECT disabled FROM subscriptions WHERE id = $1::int2)";
constexpr const char* forget_sql = "DELETE FROM outbox_workers WHERE seen_at < now() - interval '1 min'";
constexpr const char* renew_sql =
    "UPDATE lane_leases SET lease_until = now() + interval '10 s' "
    "WHERE subscription_id = $1::int2 AND owner = $2::uuid RETURNING lane";
constexpr const char* acquire_sql =
    "UPDATE lane_leases l SET owner = $2::uuid, epoch = l.epoch + 1, lease_until = now() + interval '10 s' "
    "FROM (SELECT lane FROM lane_leases WHERE subscription_id = $1::int2 AND lease_until < now() "
    "AND owner IS DISTINCT FROM $2::uuid ORDER BY lane LIMIT $3::int8 FOR UPDATE SKIP LOCKED) free "
    "WHERE l.subscription_id = $1::int2 AND l.lane = free.lane RETURNING l.lane, l.epoch";
// Asked once the lanes are ours: what the owner before us has settled meanwhile counts.
constexpr const char* cursor_sql =
    "SELECT lane, acked_seq FROM lane_cursors WHERE subscription_id = $1::int2 AND lane = ANY($2::int2[])";
constexpr const char* release_sql =
    "UPDATE lane_leases SET owner = NULL, lease_until = '-infinity' "
    "WHERE subscription_id = $1::int2 AND owner = $2::uuid AND lane = ANY($3::int2[])";
constexpr const char* leave_sql =
    "WITH gone AS (DELETE FROM outbox_workers WHERE id = $2::uuid) "
    "UPDATE lane_leases SET owner = NULL, lease_until = '-infinity' "
    "WHERE subscription_id = $1::int2 AND owner = $2::uuid";
constexpr const char* shelf_sql =
    "SELECT r.lane, r.seq, r.key_hash, r.attempts, (extract(epoch FROM r.next_at) * 1000000)::bigint, "
    "coalesce(r.last_error, ''), r.delivered_at IS NULL, r.parked FROM outbox_retries r "
    "JOIN lane_cursors c USING (subscription_id, lane) WHERE r.subscription_id = $1::int2 AND r.lane = "
    "ANY($2::int2[]) "
    "AND (r.delivered_at IS NULL AND (r.adopted OR r.seq > c.acked_seq) OR "
    "r.delivered_at IS NOT NULL AND r.seq > c.acked_seq) UNION ALL "
    "SELECT d.lane, d.seq, 0, 0, 0, '', false, false FROM dead_letters d JOIN lane_cursors c USING "
    "(subscription_id, lane) "
    "WHERE d.subscription_id = $1::int2 AND d.lane = ANY($2::int2[]) AND d.seq > c.acked_seq "
    "AND d.replayed_at IS NULL ORDER BY 1, 2";
constexpr const char* read_sql =
    "SELECT o.lane, o.seq, o.key_hash, o.event_id, o.topic, o.payload, o.ordering_key, o.traceparent, "
    "o.tracestate, (extract(epoch FROM o.due_at) * 1000000)::bigint, NULL "
    "FROM unnest($1::int2[], $2::int8[], $3::int8[]) l(lane, after, rows_max) CROSS JOIN LATERAL "
    "(SELECT * FROM outbox x WHERE x.lane = l.lane AND x.seq > l.after ORDER BY x.seq LIMIT l.rows_max) o";
// The same for some topics; the last row that was looked at comes in any case, so that the next read goes on
// behind it.
constexpr const char* read_topics_sql =
    "SELECT o.lane, o.seq, o.key_hash, o.event_id, o.topic, o.payload, o.ordering_key, o.traceparent, "
    "o.tracestate, (extract(epoch FROM o.due_at) * 1000000)::bigint, NULL "
    "FROM unnest($1::int2[], $2::int8[], $3::int8[]) l(lane, after, rows_max) CROSS JOIN LATERAL "
    "(SELECT w.*, max(w.seq) OVER () AS last FROM "
    "(SELECT * FROM outbox x WHERE x.lane = l.lane AND x.seq > l.after ORDER BY x.seq LIMIT l.rows_max) w) o "
    "WHERE o.topic = ANY($4::text[]) OR o.seq = o.last ORDER BY o.lane, o.seq";
constexpr const char* fetch_sql =
    "SELECT o.lane, o.seq, o.key_hash, o.event_id, o.topic, o.payload, o.ordering_key, o.traceparent, "
    "o.tracestate, NULL, r.attempts "
    "FROM outbox o LEFT JOIN outbox_retries r ON r.subscription_id = $3::int2 AND r.lane = o.lane AND r.seq "
    "= o.seq "
    "WHERE o.lane = $1::int2 AND o.seq = ANY($2::int8[]) UNION ALL "
    // A dead letter that is replayed may have outlived its row.
    "SELECT d.lane, d.seq, d.key_hash, d.event_id, d.topic, d.payload, d.ordering_key, NULL, NULL, NULL, "
    "NULL "
    "FROM dead_letters d "
    "WHERE d.subscription_id = $3::int2 AND d.lane = $1::int2 AND d.seq = ANY($2::int8[]) AND NOT EXISTS "
    "(SELECT FROM outbox o WHERE o.lane = d.lane AND o.seq = d.seq) ORDER BY 2";
// Only rows of lanes that are still ours. What lies in the future stays until it is due: its order is kept.
constexpr const char* requests_sql =
    "WITH asked AS (SELECT r.lane, r.seq FROM outbox_retries r JOIN lane_leases l USING (subscription_id, "
    "lane) "
    "WHERE r.subscription_id = $1::int2 AND r.lane = ANY($3::int2[]) AND l.owner = $2::uuid AND NOT "
    "r.adopted "
    "AND r.delivered_at IS NULL AND (r.next_at <= now() OR r.parked) ORDER BY r.seq LIMIT $4::int8 "
    "FOR UPDATE OF r SKIP LOCKED), "
    "taken AS (UPDATE outbox_retries r SET adopted = true FROM asked a "
    "WHERE r.subscription_id = $1::int2 AND r.lane = a.lane AND r.seq = a.seq RETURNING r.*) "
    "SELECT lane, seq, key_hash, attempts, (extract(epoch FROM next_at) * 1000000)::bigint, "
    "coalesce(last_error, ''), true, parked FROM taken ORDER BY seq";
// The success path: one line of progress a lane, whatever the number of messages. The lease is locked and not
// changed, so nobody takes the lane meanwhile and no version of the row is left behind.
constexpr const char* advance_sql =
    "WITH held AS (SELECT l.lane, a.seq FROM unnest($2::int2[], $3::int8[], $4::int8[]) a(lane, seq, epoch) "
    "JOIN lane_leases l ON l.subscription_id = $1::int2 AND l.lane = a.lane AND l.epoch = a.epoch "
    "FOR NO KEY UPDATE OF l), "
    "told AS (INSERT INTO lane_progress (subscription_id, lane, acked_seq) SELECT $1::int2, lane, seq FROM "
    "held "
    "ON CONFLICT DO NOTHING) SELECT lane FROM held";
// The lane is named by the parameter, not by the row of `held`: with that the planner read the whole lane of
// the outbox for each settlement.
constexpr const char* settle_sql = R"(
WITH held AS (
    SELECT lane FROM lane_leases WHERE subscription_id = $1::int2 AND lane = $2::int2 AND epoch = $4::int8 FOR NO KEY UPDATE),
told AS (
    INSERT INTO lane_progress (subscription_id, lane, acked_seq) SELECT $1::int2, lane, $3::int8 FROM held
    ON CONFLICT DO NOTHING),
shelved AS (
    INSERT INTO outbox_retries AS r (subscription_id, lane, seq, key_hash, attempts, next_at, last_error, history,
                                     adopted)
    SELECT $1::int2, held.lane, t.seq, t.key_hash, t.attempts, t.next_at, t.last_error, t.tried::jsonb, t.adopted = 1
    FROM held, unnest($5::int8[], $6::int8[], $7::int8[], $8::timestamptz[], $9::text[], $15::text[], $18::int8[])
         t(seq, key_hash, attempts, next_at, last_error, tried, adopted)
    ON CONFLICT (subscription_id, lane, seq) DO UPDATE
    SET attempts = EXCLUDED.attempts, next_at = EXCLUDED.next_at, last_error = EXCLUDED.last_error,
        history = r.history || EXCLUDED.history),
delivered AS (
    UPDATE outbox_retries r SET delivered_at = clock_timestamp() FROM held
    WHERE r.subscription_id = $1::int2 AND r.lane = $2::int2 AND r.seq = ANY($10::int8[])),
dead AS (
    INSERT INTO dead_letters AS d (subscription_id, lane, seq, key_hash, event_id, topic, payload, attempts, last_error,
                                   reason, history, ordering_key)
    SELECT $1::int2, o.lane, o.seq, o.key_hash, o.event_id, o.topic, o.payload, t.attempts, t.last_error, t.reason,
           coalesce(r.history, '[]') || t.tried::jsonb, o.ordering_key
    FROM held JOIN outbox o ON o.lane = $2::int2 AND o.seq = ANY($11::int8[])
    JOIN unnest($11::int8[], $12::int8[], $13::text[], $16::text[], $17::text[])
         t(seq, attempts, last_error, reason, tried) ON o.seq = t.seq
    LEFT JOIN outbox_retries r ON r.subscription_id = $1::int2 AND r.lane = o.lane AND r.seq = o.seq
    ON CONFLICT (subscription_id, lane, seq) DO NOTHING),
died_again AS (
    UPDATE dead_letters d SET attempts = t.attempts, last_error = t.last_error, reason = t.reason, replayed_at = NULL,
                              died_at = clock_timestamp(),
                              history = d.history || coalesce(r.history, '[]') || t.tried::jsonb
    FROM held, unnest($11::int8[], $12::int8[], $13::text[], $16::text[], $17::text[])
         t(seq, attempts, last_error, reason, tried)
    LEFT JOIN outbox_retries r ON r.subscription_id = $1::int2 AND r.lane = $2::int2 AND r.seq = t.seq
    WHERE d.subscription_id = $1::int2 AND d.lane = $2::int2 AND d.seq = t.seq),
off_shelf AS (
    DELETE FROM outbox_retries r USING held
    WHERE r.subscription_id = $1::int2 AND r.lane = $2::int2 AND r.seq = ANY($11::int8[])),
ahead AS (
    INSERT INTO outbox_retries (subscription_id, lane, seq, key_hash, attempts, next_at, delivered_at)
    SELECT $1::int2, held.lane, t.seq, t.key_hash, 0, clock_timestamp(), clock_timestamp()
    FROM held, unnest($19::int8[], $20::int8[]) t(seq, key_hash)
    ON CONFLICT DO NOTHING),
gone AS (
    UPDATE subscriptions SET disabled = true, disabled_reason = 'the destination answered 410 Gone',
                             revision = revision + 1 FROM held WHERE id = $1::int2 AND $14::int8 = 1)
SELECT lane FROM held)";

}  // namespace infra::pg
