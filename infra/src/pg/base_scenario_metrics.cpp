#include "pg/base_scenario_metrics.hpp"

#include <fmt/format.h>
#include <soci/postgresql/soci-postgresql.h>

#include <array>
#include <cstddef>
#include <map>
#include <string_view>
#include <utility>

namespace infra::pg {
namespace {

// Of the histogram, in seconds; the same stand in the statement.
constexpr std::array bounds{"0.1", "0.2", "0.5", "1", "2", "5", "10", "30", "60", "120"};

// A first transition is a message. From the history, which also remembers the failure that a restart mended:
// a counter never goes down. The partial index workflow_history_base_scenarios holds all that is read.
constexpr auto counts_sql =
    "SELECT workflow, 'events', 0, count(*), 0::float8 FROM workflow_history "
    "WHERE workflow IN ('project-created', 'regional-scenario-created') AND number = 1 GROUP BY workflow "
    "UNION ALL "
    "SELECT workflow, outcome, width_bucket(seconds, ARRAY[0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120]), "
    "count(*), sum(seconds)::float8 FROM "
    "(SELECT e.workflow, CASE e.status WHEN 'failed' THEN 'error' ELSE 'success' END AS outcome, "
    "extract(epoch FROM e.at - b.at) AS seconds "
    "FROM workflow_history e JOIN workflow_history b ON b.workflow = e.workflow AND b.id = e.id "
    "WHERE e.workflow IN ('project-created', 'regional-scenario-created') "
    "AND b.workflow IN ('project-created', 'regional-scenario-created') "
    "AND b.number = 1 AND e.status IN ('completed', 'not_found', 'failed')) ends GROUP BY 1, 2, 3";

struct Counts {
    long long events = 0;
    long long success = 0;
    long long error = 0;
    double seconds = 0;
    std::array<long long, bounds.size() + 1> buckets{};
};

void add(Counts& counts, const soci::row& row)
{
    const auto outcome = row.get<std::string>(1);
    const auto count = row.get<long long>(3);
    if (outcome == "events") {
        counts.events = count;
        return;
    }
    (outcome == "error" ? counts.error : counts.success) += count;
    counts.buckets.at(static_cast<std::size_t>(row.get<int>(2))) += count;
    counts.seconds += row.get<double>(4);
}

std::string counter(std::string_view name, std::string_view help, long long value)
{
    return fmt::format("# HELP {0} {1}\n# TYPE {0} counter\n{0} {2}\n", name, help, value);
}

std::string text_of(const std::string& prefix, std::string_view record, const Counts& counts)
{
    auto text =
        counter(prefix + "_events_total", fmt::format("{} messages.", record), counts.events) +
        counter(prefix + "_success_total", fmt::format("{} messages that were handled.", record),
                counts.success) +
        counter(prefix + "_error_total", fmt::format("{} messages that failed.", record), counts.error);
    const auto name = prefix + "_duration_seconds";
    text += fmt::format("# HELP {0} From a {1} message to its end.\n# TYPE {0} histogram\n", name, record);
    long long so_far = 0;
    for (std::size_t i = 0; i < bounds.size(); ++i) {
        so_far += counts.buckets.at(i);
        text += fmt::format("{}_bucket{{le=\"{}\"}} {}\n", name, bounds.at(i), so_far);
    }
    so_far += counts.buckets.back();
    return text + fmt::format("{0}_bucket{{le=\"+Inf\"}} {1}\n{0}_sum {2}\n{0}_count {1}\n", name, so_far,
                              counts.seconds);
}

}  // namespace

std::string base_scenario_metrics(soci::session& session)
{
    std::map<std::string, Counts> counts;
    const soci::rowset<soci::row> rows = (session.prepare << counts_sql);
    for (const auto& row : rows) add(counts[row.get<std::string>(0)], row);
    return text_of("project_created", "ProjectCreated", counts["project-created"]) +
           text_of("regional_scenario_created", "RegionalScenarioCreated",
                   counts["regional-scenario-created"]);
}

}  // namespace infra::pg
