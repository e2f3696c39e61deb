#include "pg/event_queries.hpp"

#include "app/clocks.hpp"
#include "domain/json.hpp"

#include <soci/postgresql/soci-postgresql.h>

#include <algorithm>

namespace infra::pg {
namespace {

// A page may hold 100 payloads of a megabyte; beyond this it ends early and its Link goes on.
constexpr std::size_t page_bytes_max = std::size_t{32} * 1024 * 1024;

constexpr auto event_columns =
    "SELECT id::text, service, (extract(epoch FROM \"timestamp\") * 1000000)::bigint, payload::text, "
    "normalized_payload::text, deduplication_key, source_event_id::text, validation_errors::text FROM "
    "event_details ";

// With its table: a bare "id" would be the column of text above, and no index has that order.
constexpr auto by_id = "ORDER BY event_details.id";

std::string text_or_null(const soci::row& row, std::size_t column)
{
    return row.get_indicator(column) == soci::i_null ? "null"
                                                     : domain::json_string(row.get<std::string>(column));
}

std::string json_or_null(const soci::row& row, std::size_t column)
{
    return row.get_indicator(column) == soci::i_null ? "null" : row.get<std::string>(column);
}

domain::TimePoint micros(long long value) { return domain::TimePoint{std::chrono::microseconds{value}}; }

// Without the closing brace, so that a caller may add members.
std::string open_event(const soci::row& row, const domain::Uuid& id)
{
    std::string out = R"({"id":")" + domain::to_string(id) + R"(","service":)" +
                      domain::json_string(row.get<std::string>(1));
    out += R"(,"timestamp":")" + domain::format_time(micros(row.get<long long>(2))) + R"(","payload":)";
    out += row.get<std::string>(3);
    out += R"(,"normalized_payload":)" + json_or_null(row, 4);
    out += R"(,"deduplication_key":)" + text_or_null(row, 5);
    out += R"(,"source_event_id":)" + text_or_null(row, 6);
    out += R"(,"created_at":")" + domain::format_time(domain::id_time(id)) + '"';
    if (row.get_indicator(7) != soci::i_null) out += R"(,"validation_errors":)" + row.get<std::string>(7);
    return out;
}

domain::Uuid row_id(const soci::row& row) { return domain::parse_uuid(row.get<std::string>(0)).value(); }

// Every filter but the service is a range of ids, because the time and the family of an event are in its id.
struct Range {
    domain::Uuid low{};   // inclusive
    domain::Uuid high{};  // inclusive

    void at_least(const domain::Uuid& id) { low = std::max(low, id); }
    void at_most(const domain::Uuid& id) { high = std::min(high, id); }
};

// The neighbour of an id. The two ends of all ids stay what they are: no event has them.
domain::Uuid step(domain::Uuid id, bool up)
{
    const auto edge = static_cast<std::uint8_t>(up ? 0xFF : 0x00);
    if (std::all_of(id.begin(), id.end(), [edge](auto byte) { return byte == edge; })) return id;
    for (std::size_t i = id.size(); i-- > 0;) {
        const bool carry = id.data[i] == edge;
        id.data[i] = static_cast<std::uint8_t>(up ? id.data[i] + 1 : id.data[i] - 1);
        if (!carry) break;
    }
    return id;
}

// The first id of the first whole millisecond at or after `time`; ids know no finer time.
domain::Uuid first_id_not_before(domain::TimePoint time)
{
    return domain::first_id_at(std::chrono::ceil<std::chrono::milliseconds>(time));
}

Range range_of(const EventFilter& filter)
{
    Range range;
    range.high.data[0] = 0xFF;
    if (filter.since) range.at_least(first_id_not_before(*filter.since));
    if (filter.until) range.at_most(step(first_id_not_before(*filter.until), false));
    if (filter.older_than) range.at_most(step(*filter.older_than, false));
    if (filter.newer_than) range.at_least(step(*filter.newer_than, true));
    if (filter.source_event_id) {
        range.at_least(domain::family_member(*filter.source_event_id, 1));
        range.at_most(domain::family_member(*filter.source_event_id, domain::family_ordinal_max));
    }
    return range;
}

struct Family {
    std::string own;      // the event, still open
    std::string derived;  // the others of its family, when it is a base event
};

Family read_family(soci::session& session, const domain::Uuid& id)
{
    const std::string low = domain::to_string(id);
    const std::string high = domain::family_ordinal(id) == 0
                                 ? domain::to_string(domain::family_member(id, domain::family_ordinal_max))
                                 : low;
    const std::string sql =
        std::string(event_columns) + "WHERE id >= CAST(:low AS uuid) AND id <= CAST(:high AS uuid) " + by_id;
    Family family;
    const soci::rowset<soci::row> rows = (session.prepare << sql, soci::use(low), soci::use(high));
    for (const auto& row : rows) {
        const auto member = row_id(row);
        if (member == id) {
            family.own = open_event(row, member);
        } else {
            family.derived += (family.derived.empty() ? "" : ",") + open_event(row, member) + "}";
        }
    }
    return family;
}

std::string read_deliveries(soci::session& session, const domain::Uuid& id)
{
    const std::string low = domain::to_string(id);
    const std::string high = domain::family_ordinal(id) == 0
                                 ? domain::to_string(domain::family_member(id, domain::family_ordinal_max))
                                 : low;
    const soci::rowset<soci::row> rows =
        (session.prepare
             << "SELECT id::text, topic, subscription, status, attempts, "
                "(extract(epoch FROM published_at) * 1000000)::bigint, last_error, event_id::text "
                "FROM outbox_messages WHERE event_id >= CAST(:low AS uuid) AND event_id <= CAST(:high AS "
                "uuid) "
                "ORDER BY seq, subscription",
         soci::use(low), soci::use(high));
    std::string out;
    for (const auto& row : rows) {
        const std::string event_id = row.get<std::string>(7);
        const auto created = domain::id_time(domain::parse_uuid(event_id).value());
        out += out.empty() ? "" : ",";
        out += R"({"id":")" + row.get<std::string>(0) + R"(","topic":)" +
               domain::json_string(row.get<std::string>(1));
        out += R"(,"subscription":)" + domain::json_string(row.get<std::string>(2)) + R"(,"status":")" +
               row.get<std::string>(3);
        out += R"(","attempts":)" + std::to_string(row.get<int>(4)) + R"(,"published_at":)";
        out += row.get_indicator(5) == soci::i_null
                   ? "null"
                   : domain::json_string(domain::format_time(micros(row.get<long long>(5))));
        out +=
            R"(,"created_at":")" + domain::format_time(created) + R"(","last_error":)" + text_or_null(row, 6);
        out += R"(,"event_id":")" + event_id + R"("})";
    }
    return out;
}

}  // namespace

EventPage read_events(soci::session& session, const EventFilter& filter)
{
    const Range range = range_of(filter);
    const std::string low = domain::to_string(range.low);
    const std::string high = domain::to_string(range.high);
    const std::string service = filter.service.value_or("");
    const long long limit = filter.limit;
    const long long offset = filter.offset;
    const bool upwards = filter.newer_than.has_value();
    // The empty service name does not exist, so it can stand for "any" only together with its own text.
    const std::string sql = std::string(event_columns) +
                            "WHERE id >= CAST(:low AS uuid) AND id <= CAST(:high AS uuid) " +
                            (filter.service ? "AND service = :service " : "AND :service = '' ") + by_id +
                            (upwards ? " ASC" : " DESC") + " LIMIT :limit OFFSET :offset";
    const soci::rowset<soci::row> rows = (session.prepare << sql, soci::use(low), soci::use(high),
                                          soci::use(service), soci::use(limit), soci::use(offset));
    EventPage page;
    std::vector<std::string> events;
    std::size_t bytes = 0;
    for (const auto& row : rows) {
        if (bytes > page_bytes_max) {
            page.cut = true;
            break;
        }
        page.ids.push_back(row_id(row));
        events.push_back(open_event(row, page.ids.back()) + "}");
        bytes += events.back().size();
    }
    if (upwards) {
        std::reverse(events.begin(), events.end());
        std::reverse(page.ids.begin(), page.ids.end());
    }
    page.json.reserve(bytes + events.size() + 2);
    page.json = "[";
    for (const auto& event : events) page.json.append(page.json.size() > 1 ? "," : "").append(event);
    page.json += "]";
    return page;
}

std::optional<std::string> read_event(soci::session& session, const domain::Uuid& id)
{
    auto family = read_family(session, id);
    if (family.own.empty()) return std::nullopt;
    return family.own + R"(,"derived_events":[)" + family.derived + R"(],"deliveries":[)" +
           read_deliveries(session, id) + "]}";
}

}  // namespace infra::pg
