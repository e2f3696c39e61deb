#include "pg/task_queries.hpp"

#include <boost/json.hpp>
#include <soci/postgresql/soci-postgresql.h>

namespace infra::pg {
namespace {

// A page may hold 100 payloads of a megabyte; beyond this it ends early and its Link goes on.
constexpr std::size_t page_bytes_max = std::size_t{32} * 1024 * 1024;

std::string time_member(const std::string& column)
{
    const auto name = column.substr(column.find('.') + 1);
    return "'" + name + "', to_char(" + column + R"( AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))";
}

// A row as a JSON object. to_jsonb writes times with an offset; ours end in Z.
std::string row_json(const std::string& row)
{
    return "to_jsonb(" + row + ") || jsonb_build_object(" + time_member(row + ".created_at") + ", " +
           time_member(row + ".updated_at") + ")";
}

}  // namespace

TaskPage read_tasks(soci::session& session, const TaskFilter& filter)
{
    const std::string status = filter.status;
    const std::string before = filter.older_than ? domain::to_string(*filter.older_than) : std::string();
    const long long limit = filter.limit;
    const soci::rowset<soci::row> rows =
        (session.prepare << "SELECT t.id::text, (" + row_json("t") +
                                R"( || '{"service_requests": []}')::text FROM tasks t )"
                                "WHERE (:status = '' OR t.status = :status2) "
                                "AND (:before = '' OR t.id < CAST(nullif(:before2, '') AS uuid)) "
                                "ORDER BY t.id DESC LIMIT :limit",
         soci::use(status), soci::use(status), soci::use(before), soci::use(before), soci::use(limit));
    TaskPage page;
    std::int64_t count = 0;
    for (const auto& row : rows) {
        page.json += count++ == 0 ? '[' : ',';
        page.json += row.get<std::string>(1);
        if (count < filter.limit && page.json.size() < page_bytes_max) continue;
        page.next = row.get<std::string>(0);
        break;
    }
    page.json += count == 0 ? "[]" : "]";
    return page;
}

std::optional<std::string> read_task(soci::session& session, const std::string& task_id)
{
    const soci::rowset<soci::row> rows =
        (session.prepare << "SELECT (" + row_json("t") +
                                " || jsonb_build_object('service_requests', (SELECT coalesce(jsonb_agg((" +
                                row_json("r") +
                                ") - 'number' ORDER BY r.number), '[]') FROM service_requests r "
                                "WHERE r.task_id = t.task_id)))::text FROM tasks t WHERE t.task_id = :id",
         soci::use(task_id));
    for (const auto& row : rows) return row.get<std::string>(0);
    return std::nullopt;
}

std::map<std::string, std::string> read_task_results(soci::session& session,
                                                     const std::vector<std::string>& task_ids)
{
    const std::string ids = boost::json::serialize(boost::json::value_from(task_ids));
    const soci::rowset<soci::row> rows =
        (session.prepare
             << "SELECT t.task_id, jsonb_build_object('task_id', t.task_id, 'status', "
                "CASE WHEN t.status = 'COMPLETED' THEN 'success' WHEN r.results = '{}' THEN 'failure' "
                "ELSE 'partial_success' END, 'results', r.results, 'errors', r.errors)::text "
                "FROM tasks t CROSS JOIN LATERAL (SELECT "
                "coalesce(jsonb_object_agg(s.service_name, s.response_payload) "
                "FILTER (WHERE s.status = 'COMPLETED'), '{}') AS results, "
                "coalesce(jsonb_object_agg(s.service_name, s.error_message) "
                "FILTER (WHERE s.status = 'FAILED'), '{}') AS errors "
                "FROM service_requests s WHERE s.task_id = t.task_id) r "
                "WHERE t.task_id = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(:ids AS jsonb)))) "
                "AND t.status IN ('COMPLETED', 'FAILED')",
         soci::use(ids));
    std::map<std::string, std::string> found;
    for (const auto& row : rows) found.emplace(row.get<std::string>(0), row.get<std::string>(1));
    return found;
}

}  // namespace infra::pg
