#pragma once

#include "app/ports/event_log.hpp"
#include "domain/workflow/registry.hpp"
#include "infra/http/router.hpp"
#include "pg/query_pool.hpp"

namespace infra::api {

// GET /workflows, GET /workflows/{id}, POST /workflows/{id}/restart. Everything must outlive the router.
void add_workflow_routes(http::Router& router, pg::QueryPool& pool, app::EventLog& log,
                         const domain::workflow::Registry& workflows);

}  // namespace infra::api
