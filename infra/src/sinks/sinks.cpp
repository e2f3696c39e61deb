#include "infra/sinks/sinks.hpp"

#include "domain/ids.hpp"
#include "domain/json.hpp"
#include "infra/sinks/amqp_sink.hpp"
#include "infra/sinks/http_sink.hpp"
#include "infra/sinks/kafka_sink.hpp"
#include "sinks/avro_sink.hpp"

#include <algorithm>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <utility>

namespace infra {
namespace {

std::string json_line(const domain::OutboxMessage& message)
{
    std::string payload = message.payload.empty() ? "null" : message.payload;
    // In JSON a bare line break is only white space; in JSON Lines it would be the end of the record.
    std::replace_if(
        payload.begin(), payload.end(), [](char c) { return c == '\n' || c == '\r'; }, ' ');
    std::string line = R"({"topic":)";
    line += domain::json_string(message.topic);
    line.append(R"(,"event_id":")").append(domain::to_string(message.event_id));
    line.append(R"(","payload":)").append(payload).append("}\n");
    return line;
}

bool write_out(const std::string& line)
{
    const bool whole = std::fwrite(line.data(), 1, line.size(), stdout) == line.size();
    return std::fflush(stdout) == 0 && whole;
}

std::unique_ptr<app::MessageSink> make_kafka_sink(const SinkConfig& sink, const OutboxConfig& outbox,
                                                  const KafkaConfig& kafka, const std::string& subscription,
                                                  const domain::SubscriptionSettings& settings)
{
    if (kafka.bootstrap_servers.empty())
        throw std::invalid_argument("KAFKA_BOOTSTRAP_SERVERS is not set for this worker");
    const bool avro = settings.encoding == domain::PayloadEncoding::avro;
    if (avro && kafka.schema_registry_url.empty())
        throw std::invalid_argument("SCHEMA_REGISTRY_URL is not set for this worker");
    KafkaSinkOptions options;
    options.bootstrap_servers = kafka.bootstrap_servers;
    options.topic = sink.url.substr(sink.url.find(':') + 1);
    options.timeout = settings.timeout.value_or(outbox.send_timeout);
    options.subscription = subscription;
    options.headers = settings.headers;
    if (!avro) return std::make_unique<KafkaSink>(std::move(options));
    options.content_type = "application/avro";
    return std::make_unique<sinks::AvroSink>(kafka.schema_registry_url, settings.schema,
                                             std::make_unique<KafkaSink>(std::move(options)));
}

}  // namespace

void NullSink::send(const domain::OutboxMessage& /*message*/, Done done) { done({}); }

void LogSink::send(const domain::OutboxMessage& message, Done done)
{
    const std::string line = json_line(message);
    domain::DeliveryOutcome outcome;
    {
        const std::lock_guard lock(mutex_);
        if (!write_out(line)) {
            outcome = {.verdict = domain::Verdict::retry, .error = "standard output cannot be written"};
        }
    }
    done(std::move(outcome));
}

std::unique_ptr<app::MessageSink> make_sink(const OutboxConfig& outbox, const KafkaConfig& kafka)
{
    domain::SubscriptionSettings settings;
    settings.sink = outbox.sink.url;
    return make_sink(outbox, kafka, {}, settings, true);
}

std::unique_ptr<app::MessageSink> make_sink(const OutboxConfig& outbox, const KafkaConfig& kafka,
                                            const std::string& subscription,
                                            const domain::SubscriptionSettings& settings, bool trusted)
{
    const auto sink = parse_sink(settings.sink);
    if (!sink) throw std::invalid_argument("the sink is of no known kind");
    switch (sink->kind) {
        case SinkKind::log:
            return std::make_unique<LogSink>();
        case SinkKind::null:
            return std::make_unique<NullSink>();
        case SinkKind::http: {
            HttpSinkOptions options;
            options.url = sink->url;
            options.timeout = settings.timeout.value_or(outbox.send_timeout);
            options.in_flight_max = settings.in_flight_max.value_or(outbox.in_flight_max);
            options.subscription = subscription;
            options.headers = settings.headers;
            options.secrets = settings.secrets;
            options.batch = settings.body == domain::DeliveryBody::batch;
            if (!trusted) options.guard.emplace(outbox.allowed_networks);
            return std::make_unique<HttpSink>(std::move(options));
        }
        case SinkKind::kafka:
            return make_kafka_sink(*sink, outbox, kafka, subscription, settings);
        case SinkKind::amqp: {
            AmqpSinkOptions options;
            options.url = sink->url;
            options.timeout = settings.timeout.value_or(outbox.send_timeout);
            options.subscription = subscription;
            options.headers = settings.headers;
            if (!trusted) options.guard.emplace(outbox.allowed_networks);
            return std::make_unique<AmqpSink>(std::move(options));
        }
    }
    throw std::logic_error("an unknown kind of sink");
}

}  // namespace infra
