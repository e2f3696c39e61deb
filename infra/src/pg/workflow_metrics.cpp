#include "pg/workflow_metrics.hpp"

#include <fmt/format.h>
#include <soci/postgresql/soci-postgresql.h>

namespace infra::pg {
namespace {

// PostgreSQL 15 knows no min() of uuids; their text has the same order.
constexpr auto under_way_sql =
    "SELECT workflow, status, count(*), "
    "extract(epoch FROM now() - uuid7_time(min(first_event::text COLLATE \"C\")::uuid))::float8 "
    "FROM (SELECT workflow, status, first_event FROM workflow_instances WHERE NOT ended ORDER BY first_event "
    "LIMIT 10000) w "
    "GROUP BY workflow, status ORDER BY workflow, status";

constexpr auto counts_head =
    "# HELP workflows_under_way Workflows that have not ended, by status; the oldest 10000 are counted.\n"
    "# TYPE workflows_under_way gauge\n";
constexpr auto ages_head =
    "# HELP workflows_oldest_seconds Age of the oldest workflow of a status that has not ended.\n"
    "# TYPE workflows_oldest_seconds gauge\n";

}  // namespace

std::string workflow_metrics(soci::session& session)
{
    std::string counts = counts_head, ages = ages_head;
    const soci::rowset<soci::row> rows = (session.prepare << under_way_sql);
    for (const auto& row : rows) {
        // Both are words of the definitions: bounded, and nothing to escape.
        const auto labels = fmt::format("{{workflow=\"{}\",status=\"{}\"}}", row.get<std::string>(0),
                                        row.get<std::string>(1));
        counts += fmt::format("workflows_under_way{} {}\n", labels, row.get<long long>(2));
        ages += fmt::format("workflows_oldest_seconds{} {:.3f}\n", labels, row.get<double>(3));
    }
    return counts + ages;
}

}  // namespace infra::pg
