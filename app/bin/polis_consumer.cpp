#include "app/consume_stream.hpp"
#include "app/randomness.hpp"
#include "domain/service_registry.hpp"
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

#include <optional>

namespace {

infra::CliSpec spec()
{
    return {.binary = infra::Binary::consumer,
            .program = "polis-consumer",
            .description = "Takes events from Kafka, JSON and Avro, and stores each exactly once.",
            .version = polis::version,
            .flags = {{"--migrate", "bring the schema up to date first"}}};
}

// What happens, as metrics and log lines.
class Observer final : public app::ConsumeObserver {
public:
    // `spans` may be null.
    Observer(infra::Metrics& metrics, const domain::ServiceRegistry& registry,
             infra::trace::ConsumedSpans* spans)
        : metrics_(metrics), registry_(registry), spans_(spans)
    {
    }

    void stored(std::string_view topic, const domain::PreparedEvent& event,
                const domain::IngestAnswer& answer) override
    {
        const auto* outcome = answer.replayed ? "duplicate" : "stored";
        metrics_.consumed(topic, outcome);
        if (spans_ != nullptr) spans_->end(event.trace, outcome);
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
    infra::trace::ConsumedSpans* const spans_;
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

int run(const infra::Config& config, bool migrate)
{
    const auto started = std::chrono::steady_clock::now();
    if (const auto code = polis::check_schema(config, migrate)) return *code;
    infra::Metrics metrics;
    domain::ServiceRegistry registry({config.rules.energy_threshold_kwh});
    domain::register_builtin_services(registry);
    const auto workflows = infra::workflow_registry(config);
    const app::PrepareEvent prepare(registry, infra::ingest_policy(config), &workflows);
    infra::kafka::AvroDecoder records(config.kafka.schema_registry_url);
    const auto tracer = infra::trace::make_tracer(
        {config.otel_endpoint, config.otel_sampled_share, "polis-consumer", polis::version});
    std::optional<infra::trace::ConsumedSpans> spans;
    app::DecodeMessage::EnterTrace enter_trace;
    if (tracer) {
        spans.emplace(*tracer);
        enter_trace = [&spans](const domain::StreamMessage& message, domain::TraceContext trace) {
            return spans->begin(message, std::move(trace));
        };
    }
    const app::DecodeMessage decode(prepare, records, infra::kafka::routes_of(config.kafka),
                                    config.ingest.body_bytes_max, std::move(enter_trace));
    infra::pg::EventWriter writer(infra::writer_options(config, &workflows),
                                  [&metrics](const infra::pg::CommittedBatch& batch) {
                                      metrics.ingest_batch(batch.events, batch.duration);
                                      for (const auto& sample : batch.measurements)
                                          metrics.measured(sample.name, sample.value);
                                  });
    const auto positions = infra::pg::make_position_store(config.database.url);
    infra::kafka::KafkaSource source(source_options(config),
                                     [&metrics](const auto& lag) { metrics.consumer_lag(lag); });
    Observer observer(metrics, registry, spans ? &*spans : nullptr);
    app::ConsumeStream consumer(source, writer, *positions, decode, observer, consume_options(config),
                                app::random_fraction);
    std::optional<infra::AdminService> admin;
    if (!config.admin.disabled) {
        admin.emplace(config, metrics, infra::AdminService::NotReady([&consumer, &source] {
                          auto reasons = consumer.not_ready();
                          if (!source.reachable()) reasons.emplace_back("Kafka not reachable");
                          return reasons;
                      }));
        infra::log_info("listening",
                        {{"host", config.http.host}, {"port", admin->port()}, {"version", polis::version}});
    }
    metrics.job("startup", std::chrono::steady_clock::now() - started);
    const infra::StopWatch watch([&consumer] { consumer.stop(); });
    consumer.run();
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
