#include "infra/api/api_service.hpp"

#include "api/answers.hpp"
#include "api/dead_letters_handler.hpp"
#include "api/event_stream.hpp"
#include "api/events_handler.hpp"
#include "api/explain_handler.hpp"
#include "api/housekeeper.hpp"
#include "api/ingest_handler.hpp"
#include "api/metrics_handler.hpp"
#include "api/quarantine_handler.hpp"
#include "api/subscriptions_handler.hpp"
#include "api/tasks_handler.hpp"
#include "api/tracing.hpp"
#include "api/workflows_handler.hpp"
#include "infra/http/server.hpp"
#include "infra/ingest_policy.hpp"
#include "infra/log/log.hpp"
#include "infra/metrics.hpp"
#include "infra/pg/event_writer.hpp"
#include "infra/pg/migrator.hpp"
#include "pg/connection.hpp"
#include "pg/query_pool.hpp"
#include "web/assets.hpp"

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

namespace infra {
namespace {

constexpr auto maintenance_interval = std::chrono::minutes(10);
constexpr auto followers_drain_max = std::chrono::seconds(1);  // they come back elsewhere and lose nothing

http::ServerOptions server_options(const Config& config)
{
    http::ServerOptions options;
    options.host = config.http.host;
    options.port = config.http.port;
    options.threads = config.http.threads;
    options.connections_max = config.http.connections_max;
    options.body_bytes_max = config.ingest.body_bytes_max;
    options.read_timeout = config.http.read_timeout;
    options.idle_timeout = config.http.idle_timeout;
    options.write_timeout = config.http.write_timeout;
    return options;
}

std::string_view mode_name(EventHubMode mode)
{
    switch (mode) {
        case EventHubMode::http:
            return "http";
        case EventHubMode::kafka:
            return "kafka";
        case EventHubMode::amqp:
            return "amqp";
    }
    return "";
}

http::Response asset_response(const web::Asset& asset, const http::Request& request)
{
    http::Response response;
    response.content_type = asset.content_type;
    response.headers = {{"ETag", std::string(asset.etag)},
                        {"Cache-Control", "no-cache"},
                        {"X-Content-Type-Options", "nosniff"},
                        {"Content-Security-Policy", std::string(web::content_security_policy(asset.path))}};
    if (request.header("If-None-Match") == asset.etag) {
        response.status = 304;
    } else {
        response.body = asset.body;
    }
    return response;
}

void serve_asset(const http::Request& request, const http::Reply& reply)
{
    const auto* asset = web::find_asset(request.path);
    reply(asset == nullptr ? http::problem(404, "Not Found") : asset_response(*asset, request));
}

}  // namespace

class ApiService::Impl {
public:
    Impl(const Config& config, const domain::ServiceRegistry& registry, trace::Tracer* tracer)
        : mode_(mode_name(config.event_hub.mode)),
          workflows_(workflow_registry(config)),
          prepare_(registry, ingest_policy(config), &workflows_),
          pool_(config.database.pool_size, config.database.url, "polis-api"),
          writer_(writer_options(config, &workflows_),
                  [this](const pg::CommittedBatch& batch) {
                      writer_busy_ns_ += batch.duration.count();
                      metrics_.ingest_batch(batch.events, batch.duration);
                      metrics_.measured(batch.measurements);
                  }),
          log_(writer_, tracer),
          ingest_(prepare_, registry, log_, pool_, metrics_),
          quarantine_(config, prepare_, log_, pool_),
          stream_({config.database.url,
                   config.http.followers_max,
                   {},
                   [this] { return std::chrono::nanoseconds(writer_busy_ns_.load()); }},
                  pool_, metrics_),
          results_(pool_),
          housekeeper_(config, metrics_)
    {
        add_routes(registry);
        api::add_subscription_routes(router_, pool_, config.outbox.allowed_networks, config.kafka);
        api::add_dead_letter_routes(router_, pool_);
        if (tracer != nullptr) {
            pool_.trace(tracer);
            router_.wrap([tracer](const http::Route& route) { return api::traced(*tracer, route); });
        }
        api::add_workflow_routes(router_, pool_, log_, workflows_);
        api::add_task_routes(router_, pool_, prepare_, log_, results_);
        server_.emplace(server_options(config), router_,
                        [this](std::string_view method, std::string_view route, unsigned status,
                               std::chrono::nanoseconds duration) {
                            metrics_.http_request(method, route, status, duration);
                        });
    }

    ~Impl() { stop(std::chrono::seconds(0)); }

    void start()
    {
        maintenance_ = std::thread([this] { maintain(); });
        housekeeper_.start();
        server_->start();
    }

    void stop(std::chrono::milliseconds limit)
    {
        {
            const std::lock_guard lock(mutex_);
            if (std::exchange(stopping_, true)) return;
        }
        wake_.notify_all();
        if (maintenance_.joinable()) maintenance_.join();
        housekeeper_.stop();
        stream_.stop(std::min<std::chrono::milliseconds>(limit, followers_drain_max));
        results_.stop();
        server_->drain(limit);
        writer_.stop();
        pool_.stop();
    }

    std::uint16_t port() const { return server_->port(); }
    const http::Router& router() const { return router_; }

private:
    void add_routes(const domain::ServiceRegistry& registry)
    {
        router_.add("POST", "/ingest/{service}", [this](http::Request&& request, http::Reply reply) {
            ingest_(std::move(request), std::move(reply));
        });
        router_.add("POST", "/explain/{service}",
                    [this, &registry](const http::Request& request, const http::Reply& reply) {
                        reply(api::explain(prepare_, registry, request));
                    });
        router_.add("GET", "/events", [this](const http::Request& request, const http::Reply& reply) {
            api::list_events(pool_, request, reply);
        });
        router_.add("GET", "/events/stream", [this](const http::Request& request, const http::Reply& reply) {
            stream_.open(request, reply);
        });
        router_.add("GET", "/events/{id}", [this](const http::Request& request, const http::Reply& reply) {
            api::show_event(pool_, request, reply);
        });
        router_.add("GET", "/quarantine", [this](const http::Request& request, const http::Reply& reply) {
            quarantine_.list(request, reply);
        });
        router_.add("GET", "/quarantine/{id}",
                    [this](const http::Request& request, const http::Reply& reply) {
                        quarantine_.show(request, reply);
                    });
        router_.add("GET", "/quarantine/{id}/body",
                    [this](const http::Request& request, const http::Reply& reply) {
                        quarantine_.bytes(request, reply);
                    });
        router_.add("POST", "/quarantine/{id}/retry",
                    [this](const http::Request& request, const http::Reply& reply) {
                        quarantine_.retry(request, reply);
                    });
        router_.add("POST", "/quarantine/retry",
                    [this](const http::Request& request, const http::Reply& reply) {
                        quarantine_.retry_matching(request, reply);
                    });
        router_.add("GET", "/health", [](http::Request&&, const http::Reply& reply) { reply(api::alive()); });
        router_.add("GET", "/healthz",
                    [](http::Request&&, const http::Reply& reply) { reply(api::alive()); });
        router_.add("GET", "/api/health", [this](http::Request&&, const http::Reply& reply) {
            reply(api::json_text(R"({"status":"healthy","event_hub_mode":")" + std::string(mode_) + R"("})"));
        });
        router_.add("GET", "/readyz", [this](http::Request&&, const http::Reply& reply) { ready(reply); });
        router_.add("GET", "/metrics", [this](http::Request&&, const http::Reply& reply) {
            metrics_.writer_queue(writer_.queued_rows());
            metrics_.database_pool(pool_.state());
            api::show_metrics(pool_, metrics_, reply);
        });
        router_.add("GET", "/outbox/lag",
                    [this](http::Request&&, const http::Reply& reply) { api::show_lag(pool_, reply); });
        for (const char* path : {"/openapi.json", "/docs", "/redoc", "/console", "/favicon.ico",
                                 "/docs/assets/{*}", "/console/assets/{*}"}) {
            router_.add("GET", path, [](http::Request&& request, const http::Reply& reply) {
                serve_asset(request, reply);
            });
        }
    }

    bool is_stopping()
    {
        const std::lock_guard lock(mutex_);
        return stopping_;
    }

    void ready(const http::Reply& reply)
    {
        if (is_stopping()) return reply(api::not_ready({"stopping"}));
        pool_.submit(
            [reply](soci::session& session) {
                const auto faults = pg::schema_state(session).faults();
                reply(faults.empty() ? api::ready() : api::not_ready(faults));
            },
            [reply] { reply(api::not_ready({"database not reachable"})); });
    }

    // Partitions are made ahead of time, so that ingest never waits for one.
    void maintain()
    {
        std::unique_lock lock(mutex_);
        while (!stopping_) {
            lock.unlock();
            pool_.submit(
                [](soci::session& session) {
                    session << "SELECT ensure_event_partitions(3), ensure_outbox_partitions()";
                },
                [] { log_warning("partitions not checked"); });
            lock.lock();
            wake_.wait_for(lock, maintenance_interval, [this] { return stopping_; });
        }
    }

    const std::string_view mode_;
    Metrics metrics_;
    const domain::workflow::Registry workflows_;
    std::atomic<std::int64_t> writer_busy_ns_ = 0;
    app::PrepareEvent prepare_;
    pg::QueryPool pool_;
    pg::EventWriter writer_;
    api::TracedEventLog log_;
    api::IngestHandler ingest_;
    api::QuarantineHandler quarantine_;
    api::EventStream stream_;
    api::TaskResults results_;
    http::Router router_;
    std::mutex mutex_;
    std::condition_variable wake_;
    bool stopping_ = false;
    std::thread maintenance_;
    api::Housekeeper housekeeper_;
    std::optional<http::Server> server_;
};

ApiService::ApiService(const Config& config, const domain::ServiceRegistry& registry, trace::Tracer* tracer)
    : impl_(std::make_unique<Impl>(config, registry, tracer))
{
}

ApiService::~ApiService() = default;

void ApiService::start() { impl_->start(); }
std::uint16_t ApiService::port() const { return impl_->port(); }
const http::Router& ApiService::router() const { return impl_->router(); }
void ApiService::stop(std::chrono::milliseconds limit) { impl_->stop(limit); }

}  // namespace infra
