#include "pg/subscription_queries.hpp"

#include "domain/ids.hpp"

#include <boost/json.hpp>
#include <soci/postgresql/soci-postgresql.h>

namespace infra::pg {
namespace {

namespace json = boost::json;

constexpr auto columns =
    "SELECT id::int, name, (settings || jsonb_build_object('topics', topics, 'enabled', NOT "
    "disabled))::text, "
    "origin, disabled_reason, revision, (extract(epoch FROM created_at) * 1000000)::bigint, "
    "(extract(epoch FROM updated_at) * 1000000)::bigint FROM subscriptions ";

std::string time_text(long long micros)
{
    return domain::format_time(domain::TimePoint{std::chrono::microseconds{micros}});
}

StoredSubscription stored(const soci::row& row)
{
    StoredSubscription found;
    found.id = static_cast<std::int16_t>(row.get<int>(0));
    found.name = row.get<std::string>(1);
    found.settings = json::parse(row.get<std::string>(2)).as_object();
    found.origin = row.get<std::string>(3);
    if (row.get_indicator(4) != soci::i_null) found.disabled_reason = row.get<std::string>(4);
    found.revision = row.get<long long>(5);
    found.created_at = time_text(row.get<long long>(6));
    found.updated_at = time_text(row.get<long long>(7));
    return found;
}

// What has columns of its own is not kept twice.
std::string settings_text(json::object settings)
{
    settings.erase("topics");
    settings.erase("enabled");
    return json::serialize(settings);
}

std::string topics_text(const domain::SubscriptionSettings& parsed)
{
    return json::serialize(json::value_from(parsed.topics));
}

std::string filter_text(const domain::SubscriptionSettings& parsed)
{
    return parsed.filter ? parsed.filter->filter_path() : std::string();
}

}  // namespace

std::vector<StoredSubscription> read_subscriptions(soci::session& session)
{
    const soci::rowset<soci::row> rows = (session.prepare << std::string(columns) + "ORDER BY name");
    std::vector<StoredSubscription> found;
    for (const auto& row : rows) found.push_back(stored(row));
    return found;
}

std::optional<StoredSubscription> read_subscription(soci::session& session, const std::string& name)
{
    const soci::rowset<soci::row> rows =
        (session.prepare << std::string(columns) + "WHERE name = :name", soci::use(name));
    for (const auto& row : rows) return stored(row);
    return std::nullopt;
}

bool add_subscription(soci::session& session, const std::string& name, const json::object& settings,
                      const domain::SubscriptionSettings& parsed, const std::string& origin)
{
    const std::string text = settings_text(settings);
    const std::string topics = topics_text(parsed);
    const std::string path = filter_text(parsed);
    const int from_beginning = parsed.start == domain::DeliveryStart::beginning ? 1 : 0;
    const int off = parsed.enabled ? 0 : 1;
    soci::indicator made = soci::i_null;
    int id = 0;
    session
        << "SELECT add_subscription(:name, ARRAY(SELECT jsonb_array_elements_text(CAST(:topics AS jsonb))), "
           "CAST(:settings AS jsonb), CAST(nullif(:path, '') AS jsonpath), :origin, "
           ":beginning = 1, :off = 1)::int",
        soci::use(name), soci::use(topics), soci::use(text), soci::use(path), soci::use(origin),
        soci::use(from_beginning), soci::use(off), soci::into(id, made);
    return made == soci::i_ok;
}

bool change_subscription(soci::session& session, const std::string& name, std::int64_t revision,
                         const json::object& settings, const domain::SubscriptionSettings& parsed)
{
    const std::string text = settings_text(settings);
    const std::string topics = topics_text(parsed);
    const std::string path = filter_text(parsed);
    const int off = parsed.enabled ? 0 : 1;
    const long long known = revision;
    soci::statement change =
        (session.prepare
             << "UPDATE subscriptions SET settings = CAST(:settings AS jsonb), "
                "topics = ARRAY(SELECT jsonb_array_elements_text(CAST(:topics AS jsonb))), "
                "filter_path = CAST(nullif(:path, '') AS jsonpath), disabled = (:off = 1), "
                "disabled_reason = CASE WHEN :off2 = 1 THEN coalesce(disabled_reason, 'asked for') END, "
                "revision = revision + 1, updated_at = now() WHERE name = :name AND revision = :revision",
         soci::use(text), soci::use(topics), soci::use(path), soci::use(off), soci::use(off), soci::use(name),
         soci::use(known));
    change.execute(true);
    return change.get_affected_rows() == 1;
}

// Workers lock lanes and then, by a foreign key, the subscription. Whoever begins with the subscription meets
// them in a deadlock.
bool remove_subscription(soci::session& session, const std::string& name)
{
    soci::transaction whole(session);
    session << "SELECT lane FROM lane_leases WHERE subscription_id = "
               "(SELECT id FROM subscriptions WHERE name = :name) ORDER BY lane FOR UPDATE",
        soci::use(name);
    soci::statement remove =
        (session.prepare << "DELETE FROM subscriptions WHERE name = :name", soci::use(name));
    remove.execute(true);
    const bool removed = remove.get_affected_rows() == 1;
    whole.commit();
    return removed;
}

}  // namespace infra::pg
