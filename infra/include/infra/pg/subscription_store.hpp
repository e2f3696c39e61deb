#pragma once

#include "app/ports/subscription_source.hpp"
#include "infra/config/config.hpp"

#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace infra::pg {

// For the worker. What cannot be read (made by a newer version) is told to `fault` and left out.
using SubscriptionFault = std::function<void(std::string_view name, std::string_view reason)>;
std::unique_ptr<app::SubscriptionSource> make_subscription_source(const std::string& database_url,
                                                                  SubscriptionFault fault);

// Makes the subscriptions of the YAML file, or brings them up to date. Those that left the file stay: they
// are deleted over the API, so that a worker that was started without its file destroys nothing.
void store_configured_subscriptions(const std::string& database_url,
                                    const ConfiguredSubscriptions& subscriptions);

}  // namespace infra::pg
