#include "pg/workflow_queries.hpp"

#include <boost/json.hpp>
#include <soci/postgresql/soci-postgresql.h>

namespace infra::pg {
namespace {

namespace json = boost::json;
using domain::workflow::Instance;

domain::TimePoint time_at(const soci::row& row, std::size_t column)
{
    return domain::TimePoint{std::chrono::microseconds{row.get<long long>(column)}};
}

constexpr auto columns =
    "SELECT workflow, id, version, status, ended::int, coalesce(error, ''), transitions, first_event::text, "
    "(extract(epoch FROM updated_at) * 1000000)::bigint";

Instance instance_of(const soci::row& row)
{
    Instance instance;
    instance.key = {row.get<std::string>(0), row.get<std::string>(1)};
    instance.version = static_cast<std::uint32_t>(row.get<int>(2));
    instance.state.status = row.get<std::string>(3);
    instance.state.ended = row.get<int>(4) != 0;
    instance.state.error = row.get<std::string>(5);
    instance.transitions = static_cast<std::uint32_t>(row.get<int>(6));
    instance.first_event = domain::parse_uuid(row.get<std::string>(7)).value();
    instance.updated_at = time_at(row, 8);
    return instance;
}

}  // namespace

std::vector<Instance> read_instances(soci::session& session, const InstanceFilter& filter,
                                     std::int64_t rows_max)
{
    const long long limit = rows_max;
    const soci::rowset<soci::row> rows =
        (session.prepare
             << std::string(columns) +
                    " FROM workflow_instances WHERE workflow = coalesce(nullif(:workflow, ''), workflow) "
                    "AND status = coalesce(nullif(:status, ''), status) "
                    "AND first_event < coalesce(CAST(nullif(:after, '') AS uuid), "
                    "CAST('ffffffff-ffff-ffff-ffff-ffffffffffff' AS uuid)) "
                    "ORDER BY first_event DESC, workflow DESC LIMIT :limit",
         soci::use(filter.workflow), soci::use(filter.status), soci::use(filter.after), soci::use(limit));
    std::vector<Instance> found;
    for (const auto& row : rows) found.push_back(instance_of(row));
    return found;
}

std::optional<Instance> read_instance(soci::session& session, const std::string& workflow,
                                      const std::string& id)
{
    const soci::rowset<soci::row> rows =
        (session.prepare << std::string(columns) +
                                ", data::text, steps::text FROM workflow_instances "
                                "WHERE id = :id AND workflow = coalesce(nullif(:workflow, ''), workflow) "
                                "ORDER BY first_event DESC LIMIT 1",
         soci::use(id), soci::use(workflow));
    for (const auto& row : rows) {
        auto instance = instance_of(row);
        instance.state.data = domain::workflow::parse_data(row.get<std::string>(9));
        instance.state.steps = domain::workflow::parse_steps(row.get<std::string>(10));
        return instance;
    }
    return std::nullopt;
}

json::array read_history(soci::session& session, const domain::workflow::InstanceKey& key,
                         std::int64_t rows_max)
{
    const long long limit = rows_max;
    const soci::rowset<soci::row> rows =
        (session.prepare
             << "SELECT number, (extract(epoch FROM at) * 1000000)::bigint, event, event_id::text, "
                "status, coalesce(error, ''), messages FROM workflow_history "
                "WHERE workflow = :workflow AND id = :id ORDER BY number DESC LIMIT :limit",
         soci::use(key.workflow), soci::use(key.id), soci::use(limit));
    json::array found;
    for (const auto& row : rows) {
        json::object transition{
            {"number", row.get<int>(0)},         {"at", domain::format_time(time_at(row, 1))},
            {"event", row.get<std::string>(2)},  {"event_id", row.get<std::string>(3)},
            {"status", row.get<std::string>(4)}, {"messages", row.get<int>(6)}};
        if (const auto error = row.get<std::string>(5); !error.empty()) transition["error"] = error;
        found.push_back(std::move(transition));
    }
    return found;
}

}  // namespace infra::pg
