#include "app/consume_stream.hpp"
#include "app/randomness.hpp"
#include "domain/service_registry.hpp"
#include "domain/workflow/task_request.hpp"
#include "infra/amqp/queue_source.hpp"
#include "infra/api/admin_service.hpp"
#include "infra/cli.hpp"
#include "infra/ingest_policy.hpp"
#include "infra/kafka/avro_decoder.hpp"
#include "infra/kafka/kafka_source.hpp"
#include "infra/kafka/routes.hpp"
#include "infra/log/log.hpp"
#include "infra/metrics.hpp"
#include "infra/pg/position_store.hpp"
#include "infra/signals.hpp"
#include "infra/trace/consumed_spans.hpp"
#include "startup.hpp"
#include "version.hpp"

#include <algorithm>
#include <future>
#include <memory>
#include <optional>

namespace {

infra::CliSpec spec()
{
    return {.binary = infra::Binary::consumer,
            .program = "polis-consumer",
            .description =
                "Takes events from Kafka, JSON and Avro, and stores each exactly once; tasks from AMQP.",
            .version = polis::version,
            .flags = {{"--migrate", "bring the schema up to date first"}}};
}

// What happens, as metrics and log lines.
class Observer final : public app::ConsumeObserver {
public:
    // `tracer` may be null.
    Observer(infra::Metrics& metrics, const domain::ServiceRegistry& registry, infra::trace::Tracer* tracer,
             std::string_view system)
        : metrics_(metrics), registry_(registry)
    {
        if (tracer != nullptr) spans_.emplace(*tracer, system);
    }

    // What puts the span of a message in the place of its trace.
    app::DecodeMessage::EnterTrace enter_trace()
    {
        if (!spans_) return {};
        return [this](const domain::StreamMessage& message, domain::TraceContext trace) {
            return spans_->begin(message, std::move(trace));
        };
    }

    void stored(std::string_view topic, const domain::PreparedEvent& event,
                const domain::IngestAnswer& answer) override
    {
        const auto* outcome = answer.replayed ? "duplicate" : "stored";
        metrics_.consumed(topic, outcome);
        if (spans_) spans_->end(event.trace, outcome);
        if (answer.replayed) return;
        if (!event.triggers.empty()) jobs_.push_back(job_of(event.service));
        const std::string_view service =
            registry_.find(event.service) != nullptr ? std::string_view(event.service) : "other";
        metrics_.events_stored(service, 1);
        const auto derived = answer.derived.size() - answer.suppressed.size();
        if (derived > 0) metrics_.events_derived(service, derived);
    }

    void quarantined(const app::QuarantinedMessage& kept) override
    {
        const auto& message = kept.message;
        metrics_.consumed(message.partition.topic, "quarantined");
        metrics_.rejected(message.partition.topic, domain::to_string(kept.reason));
        infra::log_warning("message in quarantine", {{"reason", domain::to_string(kept.reason)},
                                                     {"topic", message.partition.topic},
                                                     {"partition", message.partition.number},
                                                     {"offset", message.offset},
                                                     {"traceparent", message.header("traceparent")}});
    }

    void committed(std::size_t messages, std::chrono::nanoseconds duration) override
    {
        metrics_.consumed_batch(messages, duration);
        for (const auto& job : jobs_) metrics_.job(job, duration);
        jobs_.clear();
    }

    void trouble(std::string_view what) override
    {
        infra::log_warning("consumption waits", {{"reason", what}});
    }

private:
    // route.confirmed -> handle_route_confirmed
    static std::string job_of(std::string service)
    {
        for (char& c : service) {
            if (c == '.' || c == '-') c = '_';
        }
        return "handle_" + std::move(service);
    }

    infra::Metrics& metrics_;
    const domain::ServiceRegistry& registry_;
    std::vector<std::string> jobs_;  // of the batch that is being told about
    std::optional<infra::trace::ConsumedSpans> spans_;
};

infra::kafka::KafkaSourceOptions source_options(const infra::Config& config)
{
    infra::kafka::KafkaSourceOptions options;
    options.bootstrap_servers = config.kafka.bootstrap_servers;
    options.group = config.kafka.group_id;
    options.client_id = config.kafka.client_id;
    for (const auto& [topic, route] : config.kafka.topics) options.topics.push_back(topic);
    options.from_beginning = config.kafka.offset_reset == infra::OffsetReset::earliest;
    options.properties = config.kafka.properties;
    return options;
}

app::ConsumeOptions consume_options(const infra::Config& config)
{
    app::ConsumeOptions options;
    options.group = config.kafka.group_id;
    options.batch_rows_max = config.ingest.batch_rows_max;
    options.waiting_messages_max = config.ingest.queue_rows_max;
    options.waiting_bytes_max = config.ingest.queue_bytes_max;
    options.drain_timeout = config.drain_timeout;
    return options;
}

// What all sources share.
struct Shared {
    infra::Metrics& metrics;
    const domain::ServiceRegistry& registry;
    const app::PrepareEvent& prepare;
    app::StreamLog& log;
    infra::trace::Tracer* tracer;  // null = off
};

// What one source has of its own.
struct IntakeOptions {
    std::string_view system;  // as traces name it
    std::string_view broker;  // as people name it
    domain::RouteTable routes;
    app::ConsumeOptions consume;
    std::unique_ptr<app::PositionStore> positions = {};  // null: the broker keeps them
};

// A source with all that takes its messages into the event log.
template <class Source>
class Intake {
public:
    Intake(const infra::Config& config, const Shared& shared, std::unique_ptr<Source> source,
           IntakeOptions options)
        : broker_(options.broker),
          positions_(std::move(options.positions)),
          source_(std::move(source)),
          observer_(shared.metrics, shared.registry, shared.tracer, options.system),
          records_(config.kafka.schema_registry_url),
          decode_(shared.prepare, records_, std::move(options.routes), config.ingest.body_bytes_max,
                  observer_.enter_trace()),
          stream_(*source_, shared.log, positions_.get(), decode_, observer_, std::move(options.consume),
                  app::random_fraction)
    {
    }

    app::ConsumeStream& stream() { return stream_; }

    std::vector<std::string> not_ready() const
    {
        auto reasons = stream_.not_ready();
        if (!source_->reachable()) reasons.push_back(std::string(broker_) + " not reachable");
        return reasons;
    }

private:
    const std::string_view broker_;
    const std::unique_ptr<app::PositionStore> positions_;
    const std::unique_ptr<Source> source_;
    Observer observer_;
    infra::kafka::AvroDecoder records_;
    const app::DecodeMessage decode_;
    app::ConsumeStream stream_;
};

using KafkaIntake = Intake<infra::kafka::KafkaSource>;
using QueueIntake = Intake<infra::amqp::QueueSource>;

std::unique_ptr<KafkaIntake> kafka_intake(const infra::Config& config, const Shared& shared)
{
    auto source = std::make_unique<infra::kafka::KafkaSource>(
        source_options(config), [&metrics = shared.metrics](const auto& lag) { metrics.consumer_lag(lag); });
    return std::make_unique<KafkaIntake>(
        config, shared, std::move(source),
        IntakeOptions{"kafka", "Kafka", infra::kafka::routes_of(config.kafka), consume_options(config),
                      infra::pg::make_position_store(config.database.url)});
}

// The hub's queue. What is stored is acknowledged at once.
std::unique_ptr<QueueIntake> queue_intake(const infra::Config& config, const Shared& shared)
{
    const auto& hub = config.event_hub;
    auto source = std::make_unique<infra::amqp::QueueSource>(
        infra::amqp::QueueSourceOptions{hub.url, hub.queue}, app::random_fraction);
    const std::string service(domain::workflow::task_queued);
    auto consume = consume_options(config);
    consume.commit_interval = std::chrono::milliseconds(0);
    return std::make_unique<QueueIntake>(
        config, shared, std::move(source),
        IntakeOptions{"rabbitmq",
                      "AMQP broker",
                      {{{hub.queue, {domain::RouteBy::service, service}}}, {}},
                      std::move(consume)});
}

// Both, or the one that is configured.
class Intakes {
public:
    Intakes(const infra::Config& config, const Shared& shared)
    {
        if (!config.kafka.topics.empty()) kafka_ = kafka_intake(config, shared);
        if (config.event_hub.mode == infra::EventHubMode::amqp) queue_ = queue_intake(config, shared);
    }

    void run()
    {
        std::future<void> beside;
        if (kafka_ && queue_) beside = std::async(std::launch::async, [this] { queue_->stream().run(); });
        kafka_ ? kafka_->stream().run() : queue_->stream().run();
    }

    void stop()
    {
        if (kafka_) kafka_->stream().stop();
        if (queue_) queue_->stream().stop();
    }

    std::vector<std::string> not_ready() const
    {
        std::vector<std::string> reasons;
        if (kafka_) reasons = kafka_->not_ready();
        if (!queue_) return reasons;
        for (auto& reason : queue_->not_ready()) {
            if (std::find(reasons.begin(), reasons.end(), reason) == reasons.end())
                reasons.push_back(std::move(reason));
        }
        return reasons;
    }

private:
    std::unique_ptr<KafkaIntake> kafka_;
    std::unique_ptr<QueueIntake> queue_;
};

int run(const infra::Config& config, bool migrate)
{
    const auto started = std::chrono::steady_clock::now();
    if (const auto code = polis::check_schema(config, migrate)) return *code;
    infra::Metrics metrics;
    domain::ServiceRegistry registry({config.rules.energy_threshold_kwh});
    domain::register_builtin_services(registry);
    const auto workflows = infra::workflow_registry(config);
    const app::PrepareEvent prepare(registry, infra::ingest_policy(config), &workflows);
    const auto tracer = infra::trace::make_tracer(
        {config.otel_endpoint, config.otel_sampled_share, "polis-consumer", polis::version});
    infra::pg::EventWriter writer(infra::writer_options(config, &workflows),
                                  [&metrics](const infra::pg::CommittedBatch& batch) {
                                      metrics.ingest_batch(batch.events, batch.duration);
                                      metrics.measured(batch.measurements);
                                  });
    Intakes intakes(config, {metrics, registry, prepare, writer, tracer.get()});
    std::optional<infra::AdminService> admin;
    if (!config.admin.disabled) {
        admin.emplace(config, metrics,
                      infra::AdminService::NotReady([&intakes] { return intakes.not_ready(); }));
        infra::log_info("listening",
                        {{"host", config.http.host}, {"port", admin->port()}, {"version", polis::version}});
    }
    metrics.job("startup", std::chrono::steady_clock::now() - started);
    const infra::StopWatch watch([&intakes] { intakes.stop(); });
    intakes.run();
    writer.stop();
    infra::log_info("stopped");
    return infra::exit_fine;
}

}  // namespace

int main(int argc, char** argv)
{
    infra::block_stop_signals();
    const auto line = infra::read_command_line(spec(), argc, argv);
    if (line.exit_code) return *line.exit_code;
    return polis::guarded("consumer", line.config, [&] { return run(line.config, line.has("--migrate")); });
}
