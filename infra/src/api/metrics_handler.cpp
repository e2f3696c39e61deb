#include "api/metrics_handler.hpp"

#include "api/answers.hpp"
#include "pg/base_scenario_metrics.hpp"

namespace infra::api {
namespace {

// Bounded: a backlog beyond 10,000 messages a lane is told as that. In a lane the first message is the
// oldest, so only its id is taken apart.
constexpr auto backlog_sql =
    "SELECT coalesce(sum(messages), 0)::bigint, coalesce(extract(epoch FROM now() - min(oldest)), 0)::float8 "
    "FROM "
    "(SELECT (SELECT count(*) FROM (SELECT FROM outbox o WHERE o.lane = c.lane AND o.seq > c.acked_seq "
    "ORDER BY o.seq LIMIT 10000) ahead) AS messages, "
    "(SELECT uuid7_time(o.event_id) FROM outbox o WHERE o.lane = c.lane AND o.seq > c.acked_seq "
    "ORDER BY o.seq LIMIT 1) AS oldest FROM lane_cursors c UNION ALL "
    "SELECT 1, uuid7_time(o.event_id) FROM outbox_retries r JOIN outbox o USING (lane, seq) "
    "JOIN lane_cursors c USING (subscription_id, lane) "
    "WHERE r.delivered_at IS NULL AND r.seq <= c.acked_seq) unsent";

}  // namespace

void show_metrics(pg::QueryPool& pool, Metrics& metrics, const http::Reply& reply)
{
    pool.submit(
        [&metrics, reply](soci::session& session) {
            long long depth = 0;
            double oldest = 0;
            session << backlog_sql, soci::into(depth), soci::into(oldest);
            metrics.outbox(static_cast<std::size_t>(depth), oldest);
            reply(metrics_text(metrics.text() + pg::base_scenario_metrics(session)));
        },
        [&metrics, reply] { reply(metrics_text(metrics.text())); });
}

}  // namespace infra::api
