#include "infra/api/admin_service.hpp"

#include "api/answers.hpp"
#include "api/metrics_handler.hpp"
#include "infra/http/server.hpp"
#include "pg/query_pool.hpp"

#include <optional>
#include <utility>

namespace infra {
namespace {

AdminService::NotReady reasons(AdminService::Ready ready, const char* reason)
{
    return [ready = std::move(ready), reason] {
        std::vector<std::string> found;
        if (!ready()) found.emplace_back(reason);
        return found;
    };
}

}  // namespace

class AdminService::Impl {
public:
    Impl(const Config& config, Metrics& metrics, NotReady not_ready)
        : not_ready_(std::move(not_ready)),
          pool_(std::in_place, 1, config.database.url, "polis-admin"),
          server_(options(config), routes([this, &metrics](http::Request&&, const http::Reply& reply) {
                      api::show_metrics(*pool_, metrics, reply);
                  }),
                  [](auto, auto, auto, auto) {})
    {
        server_.start();
    }

    Impl(const Config& config, MetricsText text, NotReady not_ready)
        : not_ready_(std::move(not_ready)),
          server_(options(config),
                  routes([text = std::move(text)](http::Request&&, const http::Reply& reply) {
                      reply(api::metrics_text(text()));
                  }),
                  [](auto, auto, auto, auto) {})
    {
        server_.start();
    }

    std::uint16_t port() const { return server_.port(); }

private:
    static http::ServerOptions options(const Config& config)
    {
        http::ServerOptions options;
        options.host = config.http.host;
        options.port = config.admin.port;
        options.threads = 1;
        return options;
    }

    const http::Router& routes(http::Handler show_metrics)
    {
        router_.add("GET", "/metrics", std::move(show_metrics));
        router_.add("GET", "/healthz",
                    [](http::Request&&, const http::Reply& reply) { reply(api::alive()); });
        router_.add("GET", "/readyz", [this](http::Request&&, const http::Reply& reply) {
            const auto reasons = not_ready_();
            reply(reasons.empty() ? api::ready() : api::not_ready(reasons));
        });
        return router_;
    }

    const NotReady not_ready_;
    http::Router router_;
    std::optional<pg::QueryPool> pool_;
    http::Server server_;
};

AdminService::AdminService(const Config& config, Metrics& metrics, Ready ready)
    : AdminService(config, metrics, reasons(std::move(ready), "database not reachable, or stopping"))
{
}

AdminService::AdminService(const Config& config, Metrics& metrics, NotReady not_ready)
    : impl_(std::make_unique<Impl>(config, metrics, std::move(not_ready)))
{
}

AdminService::AdminService(const Config& config, MetricsText text, Ready ready)
    : impl_(
          std::make_unique<Impl>(config, std::move(text), reasons(std::move(ready), "starting or stopping")))
{
}

AdminService::~AdminService() = default;

std::uint16_t AdminService::port() const { return impl_->port(); }

}  // namespace infra
