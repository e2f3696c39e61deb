#include "api/metrics_handler.hpp"

#include "api/answers.hpp"

namespace infra::api {
namespace {

// Bounded: a backlog beyond 10,000 messages a lane is told as that.
constexpr auto backlog_sql =
    "SELECT count(*), coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8 FROM "
    "(SELECT uuid7_time(o.event_id) AS created_at FROM lane_cursors c CROSS JOIN LATERAL "
    "(SELECT event_id FROM outbox o WHERE o.lane = c.lane AND o.seq > c.acked_seq "
    "ORDER BY o.seq LIMIT 10000) o UNION ALL "
    "SELECT uuid7_time(o.event_id) FROM outbox_retries r JOIN outbox o USING (lane, seq) "
    "JOIN lane_cursors c USING (subscription_id, lane) "
    "WHERE r.delivered_at IS NULL AND r.seq <= c.acked_seq) unsent";

}  // namespace

void show_metrics(pg::QueryPool& pool, Metrics& metrics, const http::Reply& reply)
{
    const auto show = [&metrics, reply] { reply(metrics_text(metrics.text())); };
    pool.submit(
        [&metrics, show](soci::session& session) {
            long long depth = 0;
            double oldest = 0;
            session << backlog_sql, soci::into(depth), soci::into(oldest);
            metrics.outbox(static_cast<std::size_t>(depth), oldest);
            show();
        },
        show);
}

}  // namespace infra::api
