#include "pg/lag_queries.hpp"

#include "domain/ids.hpp"

#include <soci/postgresql/soci-postgresql.h>

namespace infra::pg {
namespace {

// In a lane the first message is the oldest, so only its id is taken apart. A timer of a workflow waits for
// its time and for nobody: until then it does not count, whether or not a worker has seen it.
constexpr auto lag_sql = R"(
SELECT s.name, coalesce(ahead.messages, 0)::bigint + shelf.behind, coalesce(ahead.capped, false)::int,
       coalesce(extract(epoch FROM now() - least(ahead.oldest, shelf.oldest)), 0)::float8, shelf.waiting, dead.letters,
       alive.workers, (extract(epoch FROM alive.open_since) * 1000000)::bigint
FROM subscriptions s
LEFT JOIN LATERAL (
    SELECT sum(counted.due) AS messages, bool_or(counted.seen = 10000) AS capped, min(front.oldest) AS oldest
    FROM lane_cursors c
    CROSS JOIN LATERAL (
        SELECT count(*) AS seen, count(*) FILTER (WHERE due_at IS NULL OR due_at <= now()) AS due
        FROM (SELECT o.due_at FROM outbox o WHERE o.lane = c.lane AND o.seq > c.acked_seq
              ORDER BY o.seq LIMIT 10000) rows) counted
    LEFT JOIN LATERAL (
        SELECT greatest(uuid7_time(event_id), due_at) AS oldest
        FROM (SELECT o.seq, o.event_id, o.due_at FROM outbox o WHERE o.lane = c.lane AND o.seq > c.acked_seq
              ORDER BY o.seq LIMIT 10000) rows
        WHERE due_at IS NULL OR due_at <= now() ORDER BY seq LIMIT 1) front ON true
    WHERE c.subscription_id = s.id) ahead ON true
CROSS JOIN LATERAL (
    SELECT count(*) AS waiting, count(*) FILTER (WHERE r.seq <= c.acked_seq) AS behind,
           min(greatest(uuid7_time(o.event_id), o.due_at)) FILTER (WHERE r.seq <= c.acked_seq) AS oldest
    FROM outbox_retries r JOIN lane_cursors c USING (subscription_id, lane) LEFT JOIN outbox o USING (lane, seq)
    WHERE r.subscription_id = s.id AND r.delivered_at IS NULL
          AND (r.adopted OR o.due_at IS NULL OR o.due_at <= now())) shelf
CROSS JOIN LATERAL (
    SELECT count(*) AS letters FROM (SELECT FROM dead_letters d WHERE d.subscription_id = s.id AND d.replayed_at IS NULL
                                     LIMIT 10000) rows) dead
CROSS JOIN LATERAL (
    SELECT count(*) AS workers, min(w.circuit_open_since) AS open_since FROM outbox_workers w
    WHERE w.subscription_id = s.id AND w.seen_at > now() - interval '10 s') alive
ORDER BY s.name)";

}  // namespace

std::vector<SubscriptionLag> read_lag(soci::session& session)
{
    const soci::rowset<soci::row> rows = (session.prepare << lag_sql);
    std::vector<SubscriptionLag> found;
    for (const auto& row : rows) {
        SubscriptionLag one;
        one.subscription = row.get<std::string>(0);
        one.unsent = row.get<long long>(1);
        one.capped = row.get<int>(2) != 0;
        one.oldest_unsent_seconds = row.get<double>(3);
        one.retrying = row.get<long long>(4);
        one.dead_letters = row.get<long long>(5);
        one.workers = row.get<long long>(6);
        if (row.get_indicator(7) != soci::i_null) {
            one.circuit_open_since =
                domain::format_time(domain::TimePoint{std::chrono::microseconds{row.get<long long>(7)}});
        }
        found.push_back(std::move(one));
    }
    return found;
}

}  // namespace infra::pg
