#pragma once

// The statements of the retention. Each of those that delete takes a bounded number of rows.
namespace infra::pg {

constexpr auto next_seq_sql =
    "SELECT CASE WHEN is_called THEN last_value + 1 ELSE last_value END FROM outbox_seq";

constexpr auto event_partitions_sql = R"(
SELECT c.relname::text, (extract(epoch FROM uuid7_time((regexp_match(pg_get_expr(c.relpartbound, c.oid), 'TO \(''([^'']+)''\)'))[1]::uuid)) * 1000000)::bigint
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'events'::regclass
ORDER BY 2)";

constexpr auto outbox_partitions_sql = R"(
SELECT c.relname::text, (b.bounds)[1]::bigint, (b.bounds)[2]::bigint
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
CROSS JOIN LATERAL (SELECT regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM \(''(\d+)''\) TO \(''(\d+)''\)')) b(bounds)
WHERE i.inhparent = 'outbox'::regclass ORDER BY 2)";

// Ids and numbers ascend together in a lane, so the oldest and the newest message of a partition are at the
// ends of its lanes: 32 looks into its primary key, whatever its size. Through the parent the planner may
// sort whole lanes.
constexpr auto ends_of_partition_sql = R"(
SELECT (extract(epoch FROM min(uuid7_time(oldest.event_id))) * 1000000)::bigint,
       (extract(epoch FROM max(uuid7_time(newest.event_id))) * 1000000)::bigint
FROM generate_series(0, 15) l(number)
LEFT JOIN LATERAL (SELECT event_id FROM {0} o WHERE o.lane = l.number::int2 ORDER BY o.seq LIMIT 1) oldest ON true
LEFT JOIN LATERAL (SELECT event_id FROM {0} o WHERE o.lane = l.number::int2 ORDER BY o.seq DESC LIMIT 1) newest ON true)";

// Where the oldest partition begins.
constexpr auto first_event_sql = R"(
SELECT min((regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM \(''([^'']+)''\)'))[1])
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'events'::regclass)";
constexpr auto first_seq_sql = R"(
SELECT coalesce(min((regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM \(''(\d+)''\)'))[1]::bigint), 0)
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'outbox'::regclass)";

// The first message beyond each cursor, and the first one on each shelf.
constexpr auto needed_sql = R"(
SELECT s.name, min(ahead.seq), (extract(epoch FROM min(uuid7_time(ahead.event_id))) * 1000000)::bigint
FROM subscriptions s JOIN lane_cursors c ON c.subscription_id = s.id
CROSS JOIN LATERAL (SELECT o.seq, o.event_id FROM outbox o WHERE o.lane = c.lane AND o.seq > c.acked_seq
                    ORDER BY o.seq LIMIT 1) ahead
GROUP BY s.name
UNION ALL
SELECT s.name, min(waiting.seq), (extract(epoch FROM min(uuid7_time(waiting.event_id))) * 1000000)::bigint
FROM subscriptions s JOIN lane_cursors c ON c.subscription_id = s.id
CROSS JOIN LATERAL (SELECT o.seq, o.event_id FROM outbox_retries r JOIN outbox o USING (lane, seq)
                    WHERE r.subscription_id = c.subscription_id AND r.lane = c.lane AND r.delivered_at IS NULL
                    ORDER BY r.seq LIMIT 1) waiting
GROUP BY s.name)";

// $1 = the first number that is still kept, $2 = rows at most. The last line of a lane is its cursor and
// stays.
constexpr auto delete_progress_sql = R"(
DELETE FROM lane_progress p USING (
    SELECT c.subscription_id, c.lane, old.acked_seq FROM lane_cursors c
    CROSS JOIN LATERAL (SELECT acked_seq FROM lane_progress o WHERE o.subscription_id = c.subscription_id AND o.lane = c.lane
                        AND o.acked_seq < least($1::int8, c.acked_seq) ORDER BY acked_seq LIMIT $2::int8) old LIMIT $2::int8) gone
WHERE p.subscription_id = gone.subscription_id AND p.lane = gone.lane AND p.acked_seq = gone.acked_seq)";
constexpr auto delete_shelf_sql = R"(
DELETE FROM outbox_retries r USING (
    SELECT c.subscription_id, c.lane, old.seq FROM lane_cursors c
    CROSS JOIN LATERAL (SELECT seq FROM outbox_retries o WHERE o.subscription_id = c.subscription_id AND o.lane = c.lane
                        AND o.seq < $1::int8 AND o.seq <= c.acked_seq AND o.delivered_at IS NOT NULL
                        ORDER BY seq LIMIT $2::int8) old LIMIT $2::int8) gone
WHERE r.subscription_id = gone.subscription_id AND r.lane = gone.lane AND r.seq = gone.seq AND r.delivered_at IS NOT NULL)";

// $1 = a time, $2 = rows at most. A dead letter beyond the cursor tells the worker that the message is at its
// end, and one that is on the shelf again may be the last copy of it: both stay. FOR UPDATE, so that a replay
// and this do not miss each other; `replayed_at` is what is looked at again when the replay came first.
constexpr auto delete_dead_letters_sql = R"(
DELETE FROM dead_letters WHERE id IN (
    SELECT d.id FROM dead_letters d JOIN lane_cursors c USING (subscription_id, lane)
    WHERE d.died_at < $1::timestamptz AND d.seq <= c.acked_seq
    AND (d.replayed_at IS NULL OR d.replayed_at < $1::timestamptz)
    AND NOT EXISTS (SELECT FROM outbox_retries r WHERE r.subscription_id = d.subscription_id AND r.lane = d.lane
                    AND r.seq = d.seq AND r.delivered_at IS NULL)
    ORDER BY d.died_at LIMIT $2::int8 FOR UPDATE OF d SKIP LOCKED))";
constexpr auto delete_quarantine_sql = R"(
DELETE FROM quarantine WHERE id IN (
    SELECT id FROM quarantine WHERE id < uuid7_floor($1::timestamptz) AND created_at < $1::timestamptz
    ORDER BY id LIMIT $2::int8))";

// $1 = how far the keys of that table were removed.
constexpr auto keys_done_sql =
    "SELECT done_before FROM retention_progress WHERE subject = $1 AND done_before >= $2::uuid";
constexpr auto set_keys_done_sql =
    "INSERT INTO retention_progress (subject, done_before) VALUES ($1, $2::uuid) "
    "ON CONFLICT (subject) DO UPDATE SET done_before = EXCLUDED.done_before";

}  // namespace infra::pg
