#pragma once

#include "domain/address_policy.hpp"
#include "infra/config/config.hpp"
#include "infra/http/message.hpp"
#include "infra/http/router.hpp"
#include "pg/query_pool.hpp"

#include <memory>
#include <vector>

namespace infra::api {

// POST, GET, PATCH and DELETE of /subscriptions; `kafka` says what is configured. The pool must outlive every
// request.
void add_subscription_routes(http::Router& router, pg::QueryPool& pool,
                             const std::vector<domain::Network>& allowed_networks, const KafkaConfig& kafka);

}  // namespace infra::api
