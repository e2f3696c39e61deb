#include "pg/quarantine_queries.hpp"

#include "app/clocks.hpp"
#include "app/randomness.hpp"

#include <boost/algorithm/hex.hpp>
#include <boost/json.hpp>

#include <algorithm>
#include <chrono>
#include <iterator>
#include <unordered_set>

namespace infra::pg {
namespace {

constexpr long long quarantine_rows_max = 100'000;  // of what came over HTTP or Kafka

// The key is shown as PostgreSQL escapes bytes: ASCII as it is, all others as \ooo.
constexpr auto described = R"(
SELECT id::text, jsonb_build_object('id', id, 'service', nullif(service, ''), 'reason', reason, 'detail', detail,
    'errors', errors, 'bytes', octet_length(body),
    'created_at', to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'message', CASE WHEN topic IS NOT NULL THEN jsonb_build_object('group', consumer_group, 'topic', topic,
        'partition', partition, 'offset', message_offset, 'key', encode(message_key, 'escape'), 'headers', headers) END)::text
FROM quarantine )";

constexpr auto whole = R"(
SELECT id::text, service, encode(body, 'hex'), topic, partition, message_offset, encode(message_key, 'hex'), headers::text,
    coalesce(request_key, ''), (extract(epoch FROM occurred_at) * 1000000)::bigint, coalesce(traceparent, ''),
    coalesce(tracestate, '')
FROM quarantine )";

// An empty parameter is no condition, so that one constant text serves every filter.
constexpr auto matching = R"(
WHERE (:service = '' OR service = :service) AND (:topic = '' OR topic = :topic) AND (:reason = '' OR reason = :reason)
  AND id < CAST(:cursor AS uuid) ORDER BY id DESC LIMIT :limit)";

constexpr auto highest_id = "ffffffff-ffff-ffff-ffff-ffffffffffff";

struct Parameters {
    explicit Parameters(const QuarantineFilter& filter)
        : service(filter.service.value_or("")),
          topic(filter.topic.value_or("")),
          reason(filter.reason.value_or("")),
          cursor(filter.older_than ? domain::to_string(*filter.older_than) : highest_id),
          limit(filter.limit)
    {
    }

    std::string service;
    std::string topic;
    std::string reason;
    std::string cursor;
    long long limit;
};

std::string from_hex(const std::string& hex)
{
    std::string bytes;
    bytes.reserve(hex.size() / 2);
    boost::algorithm::unhex(hex, std::back_inserter(bytes));
    return bytes;
}

std::vector<std::pair<std::string, std::string>> read_headers(const std::string& text)
{
    std::vector<std::pair<std::string, std::string>> headers;
    const auto document = boost::json::parse(text);
    for (const auto& pair : document.as_array()) {
        headers.emplace_back(std::string(pair.at(0).as_string()), std::string(pair.at(1).as_string()));
    }
    return headers;
}

app::Envelope read_envelope(const soci::row& row)
{
    app::Envelope envelope{row.get<std::string>(8)};
    if (row.get_indicator(9) != soci::i_null)
        envelope.occurred_at = domain::TimePoint{std::chrono::microseconds{row.get<long long>(9)}};
    envelope.trace = {row.get<std::string>(10), row.get<std::string>(11)};
    return envelope;
}

boost::json::value text_or_null(const std::string& text)
{
    if (text.empty()) return nullptr;
    return boost::json::string(text);
}

boost::json::object row_of(const domain::Uuid& id, const RefusedEvent& event)
{
    boost::json::object row{{"id", domain::to_string(id)},
                            {"body", event.body},
                            {"errors", boost::json::parse(event.errors_json)},
                            {"request_key", text_or_null(event.envelope.request_key)},
                            {"traceparent", text_or_null(event.envelope.trace.parent)},
                            {"tracestate", text_or_null(event.envelope.trace.state)}};
    if (event.envelope.occurred_at) row["occurred_at"] = domain::format_time(*event.envelope.occurred_at);
    return row;
}

KeptMessage to_kept(const soci::row& row)
{
    KeptMessage kept{domain::parse_uuid(row.get<std::string>(0)).value(), row.get<std::string>(1),
                     from_hex(row.get<std::string>(2))};
    if (row.get_indicator(3) == soci::i_null) {
        kept.envelope = read_envelope(row);
        return kept;
    }
    domain::StreamMessage message{{row.get<std::string>(3), row.get<int>(4)}, row.get<long long>(5)};
    if (row.get_indicator(6) != soci::i_null) message.key = from_hex(row.get<std::string>(6));
    message.headers = read_headers(row.get<std::string>(7));
    message.value = kept.body;
    kept.message = std::move(message);
    return kept;
}

// All of a request in one statement. The bodies are valid UTF-8 without NUL here: they were parsed before
// they were refused.
constexpr auto keep_sql =
    "INSERT INTO quarantine (id, service, body, errors, request_key, occurred_at, traceparent, tracestate) "
    "SELECT id, :service, convert_to(body, 'UTF8'), errors, request_key, occurred_at, traceparent, "
    "tracestate "
    "FROM jsonb_to_recordset(CAST(:events AS jsonb)) AS e(id uuid, body text, errors jsonb, request_key "
    "text, "
    "occurred_at timestamptz, traceparent text, tracestate text) ORDER BY id "
    "LIMIT greatest(0, :rows_max - (SELECT count(*) FROM (SELECT FROM quarantine LIMIT :rows_max2) q)) "
    "RETURNING id::text";

}  // namespace

std::vector<std::optional<domain::Uuid>> keep_in_quarantine(soci::session& session,
                                                            const std::string& service,
                                                            const std::vector<RefusedEvent>& events)
{
    auto tick = domain::id_tick_at(app::system_now());
    std::vector<std::optional<domain::Uuid>> ids;
    boost::json::array rows;
    for (const auto& event : events) {
        ids.emplace_back(domain::family_id(tick++, app::random_bits()));
        rows.push_back(row_of(*ids.back(), event));
    }
    const std::string text = boost::json::serialize(rows);
    const soci::rowset<std::string> returned =
        (session.prepare << keep_sql, soci::use(service), soci::use(text), soci::use(quarantine_rows_max),
         soci::use(quarantine_rows_max));
    const std::unordered_set<std::string> kept(returned.begin(), returned.end());
    for (auto& id : ids) {
        if (!kept.contains(domain::to_string(*id))) id.reset();
    }
    return ids;
}

QuarantinePage list_quarantine(soci::session& session, const QuarantineFilter& filter)
{
    const Parameters p(filter);
    const std::string sql = std::string(described) + matching;
    const soci::rowset<soci::row> rows =
        (session.prepare << sql, soci::use(p.service, "service"), soci::use(p.topic, "topic"),
         soci::use(p.reason, "reason"), soci::use(p.cursor, "cursor"), soci::use(p.limit, "limit"));
    QuarantinePage page;
    long long count = 0;
    for (const auto& row : rows) {
        page.json += (page.json.empty() ? "" : ",") + row.get<std::string>(1);
        page.last = domain::parse_uuid(row.get<std::string>(0));
        ++count;
    }
    page.json = "[" + page.json + "]";
    page.full = count == p.limit;
    return page;
}

std::optional<std::string> show_quarantined(soci::session& session, const domain::Uuid& id)
{
    const std::string text = domain::to_string(id);
    const std::string sql = std::string(described) + "WHERE id = CAST(:id AS uuid)";
    std::string key;
    std::string json;
    session << sql, soci::into(key), soci::into(json), soci::use(text);
    if (!session.got_data()) return std::nullopt;
    return json;
}

std::optional<KeptMessage> read_quarantined(soci::session& session, const domain::Uuid& id)
{
    const std::string text = domain::to_string(id);
    const std::string sql = std::string(whole) + "WHERE id = CAST(:id AS uuid)";
    soci::row row;
    session << sql, soci::into(row), soci::use(text);
    if (!session.got_data()) return std::nullopt;
    return to_kept(row);
}

std::vector<KeptMessage> read_quarantine(soci::session& session, const QuarantineFilter& filter)
{
    const Parameters p(filter);
    const std::string sql = std::string(whole) + matching;
    const soci::rowset<soci::row> rows =
        (session.prepare << sql, soci::use(p.service, "service"), soci::use(p.topic, "topic"),
         soci::use(p.reason, "reason"), soci::use(p.cursor, "cursor"), soci::use(p.limit, "limit"));
    std::vector<KeptMessage> kept;
    for (const auto& row : rows) kept.push_back(to_kept(row));
    return kept;
}

void remove_quarantined(soci::session& session, const std::vector<domain::Uuid>& ids)
{
    std::string list = "{";
    for (const auto& id : ids) list += (list.size() == 1 ? "" : ",") + domain::to_string(id);
    list += "}";
    session << "DELETE FROM quarantine WHERE id = ANY(CAST(:ids AS uuid[]))", soci::use(list);
}

}  // namespace infra::pg
