#pragma once

#include "infra/http/message.hpp"
#include "infra/metrics.hpp"
#include "pg/query_pool.hpp"

namespace infra::api {

// GET /metrics: reads the outbox's backlog first; without a database the last known one is shown. Pool and
// metrics must outlive every request.
void show_metrics(pg::QueryPool& pool, Metrics& metrics, const http::Reply& reply);

// GET /outbox/lag: the same figures, for people and scripts.
void show_lag(pg::QueryPool& pool, const http::Reply& reply);

}  // namespace infra::api
