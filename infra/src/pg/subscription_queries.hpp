#pragma once

#include "domain/subscription.hpp"

#include <boost/json/object.hpp>
#include <soci/soci.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace infra::pg {

struct StoredSubscription {
    std::int16_t id = 0;
    std::string name;
    boost::json::object settings;  // with `topics` and `enabled`, secrets included
    std::string origin;            // built-in, configuration or api
    std::optional<std::string> disabled_reason = {};
    std::int64_t revision = 0;
    std::string created_at = {};  // RFC 3339
    std::string updated_at = {};
};

std::vector<StoredSubscription> read_subscriptions(soci::session& session);
std::optional<StoredSubscription> read_subscription(soci::session& session, const std::string& name);

// `json` are the settings as given, `parsed` what they mean. False when the name is taken.
bool add_subscription(soci::session& session, const std::string& name, const boost::json::object& json,
                      const domain::SubscriptionSettings& parsed, const std::string& origin);

// False when it was changed or removed since `revision` was read.
bool change_subscription(soci::session& session, const std::string& name, std::int64_t revision,
                         const boost::json::object& json, const domain::SubscriptionSettings& parsed);

// With its cursors, shelf and dead letters. False when there is none.
bool remove_subscription(soci::session& session, const std::string& name);

}  // namespace infra::pg
