#pragma once

#include "infra/http/message.hpp"
#include "pg/query_pool.hpp"

namespace infra::api {

// GET /events and GET /events/{id}. The pool must outlive every request.
void list_events(pg::QueryPool& pool, const http::Request& request, const http::Reply& reply);
void show_event(pg::QueryPool& pool, const http::Request& request, const http::Reply& reply);

}  // namespace infra::api
