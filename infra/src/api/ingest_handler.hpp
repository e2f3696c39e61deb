#pragma once

#include "app/ingest.hpp"
#include "app/ports/event_log.hpp"
#include "infra/http/message.hpp"
#include "infra/metrics.hpp"
#include "pg/query_pool.hpp"

#include <memory>

namespace infra::api {

// POST /ingest/{service}. Everything it refers to must outlive every request.
class IngestHandler {
public:
    IngestHandler(const app::PrepareEvent& prepare, const domain::ServiceRegistry& registry,
                  app::EventLog& log, pg::QueryPool& pool, Metrics& metrics)
        : prepare_(prepare), registry_(registry), log_(log), pool_(pool), metrics_(metrics)
    {
    }

    void operator()(http::Request&& request, http::Reply reply) const;

private:
    struct Work;

    void answer(const std::shared_ptr<const Work>& work, app::AppendResult result) const;
    void count(const Work& work, const app::AppendedEvents& events) const;

    const app::PrepareEvent& prepare_;
    const domain::ServiceRegistry& registry_;
    app::EventLog& log_;
    pg::QueryPool& pool_;
    Metrics& metrics_;
};

}  // namespace infra::api
