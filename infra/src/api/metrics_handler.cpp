#include "api/metrics_handler.hpp"

#include "api/answers.hpp"
#include "api/events_handler.hpp"
#include "api/with_session.hpp"
#include "pg/base_scenario_metrics.hpp"
#include "pg/lag_queries.hpp"
#include "pg/workflow_metrics.hpp"

#include <boost/json.hpp>

namespace infra::api {

void show_metrics(pg::QueryPool& pool, Metrics& metrics, const http::Reply& reply)
{
    pool.submit(
        [&metrics, reply](soci::session& session) {
            metrics.outbox(pg::read_lag(session));
            reply(metrics_text(metrics.text() + pg::base_scenario_metrics(session) +
                               pg::workflow_metrics(session)));
        },
        [&metrics, reply] { reply(metrics_text(metrics.text())); });
}

void show_lag(pg::QueryPool& pool, const http::Reply& reply)
{
    with_session(pool, reply, [](soci::session& session) {
        boost::json::array all;
        for (const auto& one : pg::read_lag(session)) {
            const bool open = !one.circuit_open_since.empty();
            all.push_back({{"subscription", one.subscription},
                           {"unsent", one.unsent},
                           {"capped", one.capped},
                           {"oldest_unsent_seconds", one.oldest_unsent_seconds},
                           {"retrying", one.retrying},
                           {"dead_letters", one.dead_letters},
                           {"workers", one.workers},
                           {"circuit", open ? "open" : "closed"},
                           {"circuit_open_since",
                            open ? boost::json::value(one.circuit_open_since) : boost::json::value()}});
        }
        return json_text(boost::json::serialize(all));
    });
}

}  // namespace infra::api
