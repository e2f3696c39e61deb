#pragma once

#include "app/ingest.hpp"
#include "domain/service_registry.hpp"
#include "infra/http/message.hpp"

namespace infra::api {

// POST /explain/{service}: what POST /ingest/{service} would do with the same request.
http::Response explain(const app::PrepareEvent& prepare, const domain::ServiceRegistry& registry,
                       const http::Request& request);

}  // namespace infra::api
