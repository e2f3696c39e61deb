#include "pg/dead_letter_queries.hpp"

#include <boost/json.hpp>
#include <soci/postgresql/soci-postgresql.h>

namespace infra::pg {
namespace {

namespace json = boost::json;

json::value time_value(const soci::row& row, std::size_t column)
{
    if (row.get_indicator(column) == soci::i_null) return nullptr;
    return json::string(
        domain::format_time(domain::TimePoint{std::chrono::microseconds{row.get<long long>(column)}}));
}

constexpr auto columns =
    "SELECT d.id::text, s.name, d.topic, d.event_id::text, d.seq, d.key_hash::text, d.attempts, d.reason, "
    "d.last_error, (extract(epoch FROM d.died_at) * 1000000)::bigint, "
    "(extract(epoch FROM d.replayed_at) * 1000000)::bigint, d.payload::text, d.history::text "
    "FROM dead_letters d JOIN subscriptions s ON s.id = d.subscription_id ";

json::object dead_letter(const soci::row& row)
{
    return {{"id", row.get<std::string>(0)},         {"subscription", row.get<std::string>(1)},
            {"topic", row.get<std::string>(2)},      {"event_id", row.get<std::string>(3)},
            {"seq", row.get<long long>(4)},          {"key", row.get<std::string>(5)},
            {"attempts", row.get<int>(6)},           {"reason", row.get<std::string>(7)},
            {"last_error", row.get<std::string>(8)}, {"died_at", time_value(row, 9)}};
}

// Every condition names its parameter once: SOCI binds by place.
constexpr auto conditions =
    "s.name = coalesce(nullif(:subscription, ''), s.name) AND d.topic = coalesce(nullif(:topic, ''), "
    "d.topic) "
    "AND d.reason = coalesce(nullif(:reason, ''), d.reason) "
    "AND d.died_at >= coalesce(CAST(nullif(:since, '') AS timestamptz), '-infinity') "
    "AND d.died_at < coalesce(CAST(nullif(:until, '') AS timestamptz), 'infinity') "
    "AND d.id = coalesce(CAST(nullif(:id, '') AS uuid), d.id) AND d.replayed_at IS NULL ";

}  // namespace

json::array read_dead_letters(soci::session& session, const DeadLetterFilter& filter,
                              const std::string& after, std::int64_t limit)
{
    const long long rows_max = limit;
    const soci::rowset<soci::row> rows =
        (session.prepare << std::string(columns) + "WHERE " + conditions +
                                "AND (d.died_at, d.id) < (coalesce((SELECT a.died_at FROM dead_letters a "
                                "WHERE a.id = CAST(nullif(:after, '') AS uuid)), 'infinity'), "
                                "coalesce(CAST(nullif(:after2, '') AS uuid), "
                                "CAST('ffffffff-ffff-ffff-ffff-ffffffffffff' AS uuid))) "
                                "ORDER BY d.died_at DESC, d.id DESC LIMIT :limit",
         soci::use(filter.subscription), soci::use(filter.topic), soci::use(filter.reason),
         soci::use(filter.since), soci::use(filter.until), soci::use(filter.id), soci::use(after),
         soci::use(after), soci::use(rows_max));
    json::array found;
    for (const auto& row : rows) found.push_back(dead_letter(row));
    return found;
}

std::optional<json::object> read_dead_letter(soci::session& session, const std::string& id)
{
    const soci::rowset<soci::row> rows =
        (session.prepare << std::string(columns) + "WHERE d.id = CAST(:id AS uuid)", soci::use(id));
    for (const auto& row : rows) {
        auto found = dead_letter(row);
        found["replayed_at"] = time_value(row, 10);
        found["payload"] = json::parse(row.get<std::string>(11));
        found["tries"] = json::parse(row.get<std::string>(12));
        return found;
    }
    return std::nullopt;
}

std::int64_t replay_dead_letters(soci::session& session, const DeadLetterFilter& filter,
                                 std::optional<double> rate_per_second)
{
    const double seconds_each = rate_per_second ? 1 / *rate_per_second : 0;
    const long long rows_max = replay_rows_max;
    long long count = 0;
    session
        << std::string(
               "WITH locked AS (SELECT d.id, d.subscription_id, d.lane, d.seq, d.key_hash FROM dead_letters "
               "d "
               "JOIN subscriptions s ON s.id = d.subscription_id WHERE ") +
               conditions +
               "ORDER BY d.seq LIMIT :rows FOR UPDATE OF d), "
               "marked AS (UPDATE dead_letters d SET replayed_at = now() FROM locked l WHERE d.id = l.id), "
               "back AS (INSERT INTO outbox_retries (subscription_id, lane, seq, key_hash, attempts, "
               "next_at, "
               "adopted) SELECT subscription_id, lane, seq, key_hash, 0, now() + "
               "make_interval(secs => CAST(:each AS float8) * (row_number() OVER (ORDER BY seq) - 1)), false "
               "FROM locked ON CONFLICT (subscription_id, lane, seq) DO UPDATE SET attempts = 0, "
               "next_at = EXCLUDED.next_at, delivered_at = NULL, adopted = false, parked = false RETURNING "
               "1) "
               "SELECT count(*) FROM back",
        soci::use(filter.subscription), soci::use(filter.topic), soci::use(filter.reason),
        soci::use(filter.since), soci::use(filter.until), soci::use(filter.id), soci::use(rows_max),
        soci::use(seconds_each), soci::into(count);
    return count;
}

json::array read_blocked_keys(soci::session& session, const std::string& subscription, std::int64_t limit)
{
    const long long rows_max = limit;
    const soci::rowset<soci::row> rows =
        (session.prepare
             << "SELECT s.name, r.key_hash::text, w.waiting, r.seq, r.attempts, coalesce(r.last_error, ''), "
                "(extract(epoch FROM r.next_at) * 1000000)::bigint "
                "FROM (SELECT subscription_id, lane, key_hash, count(*) AS waiting, min(seq) AS seq "
                "FROM outbox_retries WHERE delivered_at IS NULL AND NOT parked GROUP BY 1, 2, 3) w "
                "JOIN outbox_retries r USING (subscription_id, lane, seq) "
                "JOIN subscriptions s ON s.id = r.subscription_id "
                "WHERE s.name = coalesce(nullif(:subscription, ''), s.name) AND r.attempts > 0 "
                "ORDER BY w.waiting DESC, s.name, r.key_hash LIMIT :limit",
         soci::use(subscription), soci::use(rows_max));
    json::array found;
    for (const auto& row : rows) {
        found.push_back(json::object{{"subscription", row.get<std::string>(0)},
                                     {"key", row.get<std::string>(1)},
                                     {"waiting", row.get<long long>(2)},
                                     {"seq", row.get<long long>(3)},
                                     {"attempts", row.get<int>(4)},
                                     {"last_error", row.get<std::string>(5)},
                                     {"next_at", time_value(row, 6)}});
    }
    return found;
}

std::int64_t unblock_key(soci::session& session, const std::string& subscription, std::int64_t key,
                         Unblock what)
{
    const long long key_hash = key;
    const int all = what == Unblock::park ? 1 : 0;
    long long count = 0;
    session << "WITH waiting AS (SELECT r.subscription_id, r.lane, r.seq, "
               "row_number() OVER (PARTITION BY r.subscription_id, r.lane ORDER BY r.seq) AS place "
               "FROM outbox_retries r JOIN subscriptions s ON s.id = r.subscription_id "
               "WHERE s.name = :name AND r.key_hash = :key AND r.delivered_at IS NULL AND NOT r.parked), "
               "marked AS (UPDATE outbox_retries r SET parked = true, adopted = false FROM waiting w "
               "WHERE r.subscription_id = w.subscription_id AND r.lane = w.lane AND r.seq = w.seq "
               "AND (w.place = 1 OR :all = 1) RETURNING 1) SELECT count(*) FROM marked",
        soci::use(subscription), soci::use(key_hash), soci::use(all), soci::into(count);
    return count;
}

}  // namespace infra::pg
