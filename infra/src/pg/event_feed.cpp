#include "pg/event_feed.hpp"

#include "domain/json.hpp"
#include "pg/connection.hpp"

#include <array>
#include <cstdlib>

namespace infra::pg {
namespace {

// Straight from the table, with the times taken from the ids here: the view does that in SQL, for ten times
// the price. A NULL that stands for "as the payload" leaves the server as NULL.
constexpr auto feed_sql =
    "SELECT id::text, service, (extract(epoch FROM occurred_at) * 1000000)::bigint, payload::text, "
    "(payload || patch)::text, deduplication_key, validation_errors::text FROM events "
    "WHERE id > $1::uuid AND id <= coalesce($2::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff') ORDER BY id "
    "LIMIT "
    "$3::int8";

enum Column { id, service, occurred_at, payload, normalized, key, errors };

class Row {
public:
    Row(const PGresult* result, int row) : result_(result), row_(row) {}

    bool is_null(Column column) const { return PQgetisnull(result_, row_, column) != 0; }
    std::string_view operator[](Column column) const
    {
        return {PQgetvalue(result_, row_, column),
                static_cast<std::size_t>(PQgetlength(result_, row_, column))};
    }

private:
    const PGresult* result_;
    int row_;
};

void append_time(std::string& out, domain::TimePoint time)
{
    out += '"';
    out += domain::format_time(time);
    out += '"';
}

domain::TimePoint occurred(const Row& row, const domain::Uuid& event)
{
    if (row.is_null(occurred_at)) return domain::id_time(event);
    return domain::TimePoint{std::chrono::microseconds{std::strtoll(row[occurred_at].data(), nullptr, 10)}};
}

// The shape of GET /events. The database writes JSON without line breaks, so one `data` line holds it.
void append_event(std::string& out, const Row& row, const domain::Uuid& event)
{
    const bool base = domain::family_ordinal(event) == 0;
    ((out += "id: ") += row[id]) += "\ndata: {\"id\":\"";
    (out += row[id]) += R"(","service":)";
    out += domain::json_string(row[service]);
    out += R"(,"timestamp":)";
    append_time(out, occurred(row, event));
    ((out += R"(,"payload":)") += row[payload]) += R"(,"normalized_payload":)";
    if (!base) {
        out += "null";
    } else {
        out += row.is_null(normalized) ? row[payload] : row[normalized];
    }
    out += R"(,"deduplication_key":)";
    if (row.is_null(key)) {
        out += "null";
    } else {
        out += domain::json_string(row[key]);
    }
    out += R"(,"source_event_id":)";
    out += base ? "null" : '"' + domain::to_string(domain::family_base(event)) + '"';
    out += R"(,"created_at":)";
    append_time(out, domain::id_time(event));
    if (!row.is_null(errors)) (out += R"(,"validation_errors":)") += row[errors];
    out += "}\n\n";
}

}  // namespace

domain::Uuid newest_event(soci::session& session)
{
    const Result result(PQexec(native(session), "SELECT id FROM events ORDER BY id DESC LIMIT 1"));
    if (PQresultStatus(result.get()) != PGRES_TUPLES_OK) {
        throw ConnectionLost("", "the newest event could not be read");
    }
    if (PQntuples(result.get()) == 0) return domain::Uuid{};
    return domain::parse_uuid(PQgetvalue(result.get(), 0, 0)).value();
}

FeedPage read_feed(soci::session& session, const domain::Uuid& after,
                   const std::optional<domain::Uuid>& up_to, std::size_t events_max, std::size_t bytes_max)
{
    const std::string from = domain::to_string(after);
    const std::string to = up_to ? domain::to_string(*up_to) : std::string();
    const std::string limit = std::to_string(events_max);
    const std::array<const char*, 3> values{from.c_str(), up_to ? to.c_str() : nullptr, limit.c_str()};
    const Result result(PQexecParams(native(session), feed_sql, static_cast<int>(values.size()), nullptr,
                                     values.data(), nullptr, nullptr, 0));
    if (PQresultStatus(result.get()) != PGRES_TUPLES_OK) {
        throw ConnectionLost("", "the events could not be read");
    }
    const int rows = PQntuples(result.get());
    FeedPage page;
    page.full = static_cast<std::size_t>(rows) == events_max;
    for (int number = 0; number < rows; ++number) {
        const Row row(result.get(), number);
        const auto event = domain::parse_uuid(row[id]).value();
        append_event(page.text, row, event);
        page.entries.push_back({event, page.text.size()});
        if (page.text.size() >= bytes_max && number + 1 < rows) {
            page.full = true;
            break;
        }
    }
    return page;
}

}  // namespace infra::pg
