#include "infra/pg/subscription_store.hpp"

#include "pg/connection.hpp"
#include "pg/subscription_queries.hpp"

#include <utility>

namespace infra::pg {
namespace {

class PgSubscriptionSource final : public app::SubscriptionSource {
public:
    PgSubscriptionSource(std::string url, SubscriptionFault fault)
        : url_(std::move(url)), fault_(std::move(fault))
    {
    }

    std::vector<app::Subscription> enabled() override
    {
        if (!session_) session_ = connect(url_, {"polis-outbox-worker subscriptions"});
        try {
            return read();
        } catch (const soci::soci_error& error) {
            session_.reset();
            rethrow_as_sql_error(error);
        }
    }

private:
    std::vector<app::Subscription> read()
    {
        std::vector<app::Subscription> wanted;
        for (auto& stored : read_subscriptions(*session_)) {
            auto settings = domain::parse_subscription(stored.settings);
            if (!settings) {
                tell_once(stored, settings.error());
            } else if (settings->enabled) {
                wanted.push_back(
                    {stored.id, stored.name, stored.revision, *std::move(settings), stored.origin != "api"});
            }
        }
        return wanted;
    }

    void tell_once(const StoredSubscription& stored, const domain::Fault& fault)
    {
        if (std::exchange(told_[stored.id], stored.revision) != stored.revision)
            fault_(stored.name, fault.detail);
    }

    const std::string url_;
    const SubscriptionFault fault_;
    std::map<std::int16_t, std::int64_t> told_;
    std::unique_ptr<soci::session> session_;
};

}  // namespace

std::unique_ptr<app::SubscriptionSource> make_subscription_source(const std::string& database_url,
                                                                  SubscriptionFault fault)
{
    return std::make_unique<PgSubscriptionSource>(database_url, std::move(fault));
}

void store_configured_subscriptions(const std::string& database_url,
                                    const ConfiguredSubscriptions& subscriptions)
{
    if (subscriptions.empty()) return;
    const auto session = connect(database_url, {"polis-outbox-worker configuration"});
    try {
        for (const auto& [name, settings] : subscriptions) {
            const auto stored = read_subscription(*session, name);
            auto wanted = settings;
            if (!wanted.contains("topics")) wanted["topics"] = boost::json::array{"*"};
            // What was switched off over the API, or by a 410, stays off unless the file speaks of it.
            if (!wanted.contains("enabled"))
                wanted["enabled"] = !stored || stored->settings.at("enabled").as_bool();
            const auto parsed = domain::parse_subscription(wanted).value();
            if (!stored) {
                add_subscription(*session, name, wanted, parsed, "configuration");
            } else if (wanted != stored->settings) {
                change_subscription(*session, name, stored->revision, wanted, parsed);
            }
        }
    } catch (const soci::soci_error& error) {
        rethrow_as_sql_error(error);
    }
}

}  // namespace infra::pg
