#include "app/deliver_outbox.hpp"
#include "app/delivery_fleet.hpp"
#include "app/randomness.hpp"
#include "domain/json.hpp"
#include "infra/api/admin_service.hpp"
#include "infra/cli.hpp"
#include "infra/ingest_policy.hpp"
#include "infra/log/log.hpp"
#include "infra/metrics.hpp"
#include "infra/pg/event_writer.hpp"
#include "infra/pg/outbox_store.hpp"
#include "infra/pg/subscription_store.hpp"
#include "infra/signals.hpp"
#include "infra/sinks/logged_sink.hpp"
#include "infra/sinks/sinks.hpp"
#include "infra/sinks/workflow_sink.hpp"
#include "infra/trace/traced_sink.hpp"
#include "startup.hpp"
#include "version.hpp"

#include <atomic>
#include <optional>

namespace {

infra::CliSpec spec()
{
    return {
        .binary = infra::Binary::worker,
        .program = "polis-outbox-worker",
        .description =
            "Delivers the messages of the outbox, with retries, in order per key. Run as many as you like.",
        .version = polis::version,
        .flags = {{"--drain", "deliver until nothing is due, then leave"},
                  {"--migrate", "bring the schema up to date first"}}};
}

domain::Lane::Wants wants_of(const domain::SubscriptionSettings& settings)
{
    return [topics = settings.topics, filter = settings.filter](const domain::OutboxMessage& message) {
        if (!domain::topic_matches(message.topic, topics)) return false;
        if (!filter) return true;
        const auto payload = domain::parse_json(message.payload);
        return payload && filter->matches(payload->value);
    };
}

app::DeliveryOptions options_of(const infra::Config& config, const domain::SubscriptionSettings& settings,
                                bool drain)
{
    app::DeliveryOptions options;
    options.retry = {settings.attempts_max.value_or(config.outbox.attempts_max), config.outbox.retry_base,
                     config.outbox.retry_max};
    options.limits.window_rows_max = config.outbox.batch_rows_max;
    options.in_flight_max = settings.in_flight_max.value_or(config.outbox.in_flight_max);
    options.poll_interval = config.outbox.poll_interval;
    options.drain_timeout = config.drain_timeout;
    options.until_empty = drain;
    options.wants = wants_of(settings);
    options.rate_per_second = settings.rate_per_second;
    return options;
}

// One subscription with everything that is its own.
class SubscriptionDelivery final : public app::Delivery {
public:
    // `incomplete` is set when a drain had to leave lanes to another worker.
    SubscriptionDelivery(const infra::Config& config, const app::Subscription& subscription, bool drain,
                         infra::Metrics& metrics, infra::trace::Tracer* tracer, app::EventLog& log,
                         std::atomic<bool>& incomplete)
        : incomplete_(incomplete),
          store_(infra::pg::make_outbox_store(
              config.database.url, subscription.id,
              drain ? infra::pg::LaneShare::everything : infra::pg::LaneShare::fair,
              domain::exact_topics(subscription.settings.topics))),
          sink_(observed(sink_of(config, subscription, log), tracer, subscription.name)),
          deliver_(
              *store_, *sink_, options_of(config, subscription.settings, drain), app::random_fraction,
              [&metrics, name = subscription.name](domain::Verdict verdict) {
                  metrics.delivery(name, domain::to_string(verdict));
              },
              [name = subscription.name](std::string_view reason) {
                  infra::log_error("delivery interrupted", {{"subscription", name}, {"reason", reason}});
              },
              [name = subscription.name](bool closed) {
                  if (closed) {
                      infra::log_info("destination answers again", {{"subscription", name}});
                  } else {
                      infra::log_warning("destination does not answer; its messages wait",
                                         {{"subscription", name}});
                  }
              })
    {
    }

    void run() override
    {
        deliver_.run();
        if (!deliver_.complete()) incomplete_ = true;
    }
    void wake() override { deliver_.wake(); }
    void stop() override { deliver_.stop(); }
    bool healthy() const override { return deliver_.healthy(); }

private:
    static std::unique_ptr<app::MessageSink> sink_of(const infra::Config& config,
                                                     const app::Subscription& subscription,
                                                     app::EventLog& log)
    {
        if (subscription.name == domain::default_subscription)
            return infra::make_sink(config.outbox, config.kafka);
        if (subscription.trusted && subscription.settings.sink.starts_with(infra::workflow_sink_scheme))
            return infra::make_workflow_sink(config, subscription.settings, log);
        // Whoever writes the configuration file is trusted with the network; a client of the API is not.
        return infra::make_sink(config.outbox, config.kafka, subscription.name, subscription.settings,
                                subscription.trusted);
    }

    static std::unique_ptr<app::MessageSink> observed(std::unique_ptr<app::MessageSink> sink,
                                                      infra::trace::Tracer* tracer, const std::string& name)
    {
        auto logged = std::make_unique<infra::LoggedSink>(std::move(sink), name);
        if (tracer == nullptr) return logged;
        return std::make_unique<infra::trace::TracedSink>(std::move(logged), *tracer, name);
    }

    std::atomic<bool>& incomplete_;
    std::unique_ptr<app::OutboxStore> store_;
    std::unique_ptr<app::MessageSink> sink_;
    app::DeliverOutbox deliver_;
};

int run(const infra::Config& config, bool drain, bool migrate)
{
    if (const auto code = polis::check_schema(config, migrate)) return *code;
    infra::Metrics metrics;
    const auto tracer = infra::trace::make_tracer(
        {config.otel_endpoint, config.otel_sampled_share, "polis-outbox-worker", polis::version});
    auto subscriptions = infra::workflow_subscriptions(config.workflows);
    subscriptions.insert(config.outbox.subscriptions.begin(), config.outbox.subscriptions.end());
    infra::pg::store_configured_subscriptions(config.database.url, subscriptions);
    const auto workflows = infra::workflow_registry(config);
    infra::pg::EventWriter writer(
        infra::writer_options(config, &workflows),
        [&metrics](const infra::pg::CommittedBatch& batch) { metrics.measured(batch.measurements); });
    const auto source = infra::pg::make_subscription_source(
        config.database.url, [](std::string_view name, std::string_view reason) {
            infra::log_error("subscription not served", {{"subscription", name}, {"reason", reason}});
        });
    std::atomic<bool> incomplete = false;
    app::DeliveryFleet fleet(
        *source,
        [&](const app::Subscription& subscription) {
            return std::make_unique<SubscriptionDelivery>(config, subscription, drain, metrics, tracer.get(),
                                                          writer, incomplete);
        },
        [](std::string_view subscription, std::string_view reason) {
            infra::log_error("delivery interrupted", {{"subscription", subscription}, {"reason", reason}});
        },
        drain);
    std::optional<infra::AdminService> admin;
    if (!config.admin.disabled && !drain) {
        admin.emplace(config, metrics, [&fleet] { return fleet.healthy(); });
        infra::log_info("listening",
                        {{"host", config.http.host}, {"port", admin->port()}, {"version", polis::version}});
    }
    const infra::pg::OutboxListener listener(config.database.url, [&fleet] { fleet.wake(); });
    const infra::StopWatch watch([&fleet] { fleet.stop(); });
    fleet.run();
    infra::log_info("stopped");
    return incomplete ? infra::exit_failed : infra::exit_fine;
}

}  // namespace

int main(int argc, char** argv)
{
    infra::block_stop_signals();
    const auto line = infra::read_command_line(spec(), argc, argv);
    if (line.exit_code) return *line.exit_code;
    return polis::guarded("outbox-worker", line.config,
                          [&] { return run(line.config, line.has("--drain"), line.has("--migrate")); });
}
