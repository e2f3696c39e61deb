#pragma once

#include "infra/http/router.hpp"
#include "pg/query_pool.hpp"

namespace infra::api {

// /outbox/dead-letters, /outbox/replays and /outbox/blocked-keys. The pool must outlive every request.
void add_dead_letter_routes(http::Router& router, pg::QueryPool& pool);

}  // namespace infra::api
