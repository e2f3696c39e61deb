#pragma once

#include "infra/http/message.hpp"
#include "pg/query_pool.hpp"

#include <utility>

namespace infra::api {

http::Response database_unavailable();

// Answers with what `action` makes of a session of the pool, which must outlive the request; 503 when there
// is none to have, or the action throws.
template <class Action>
void with_session(pg::QueryPool& pool, const http::Reply& reply, Action action)
{
    pool.submit([action = std::move(action), reply](soci::session& session) { reply(action(session)); },
                [reply] { reply(database_unavailable()); });
}

}  // namespace infra::api
