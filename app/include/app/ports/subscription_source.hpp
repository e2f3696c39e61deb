#pragma once

#include "domain/subscription.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace app {

struct Subscription {
    std::int16_t id = 0;
    std::string name;
    std::int64_t revision = 0;  // grows with every change
    domain::SubscriptionSettings settings;
    bool trusted = false;  // named by the operator's configuration, not by a client of the API
};

// The subscriptions that are to be served now. Throws when the database does not answer.
class SubscriptionSource {
public:
    virtual ~SubscriptionSource() = default;
    virtual std::vector<Subscription> enabled() = 0;
};

}  // namespace app
