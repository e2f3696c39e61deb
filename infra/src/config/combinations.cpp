#include "config/combinations.hpp"

#include "domain/subscription.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace infra::config {
namespace {

using Faults = std::vector<std::string>;

void report_incomplete(const std::string& name, const PropagatorStream& stream, bool is_load, Faults& faults)
{
    const auto report = [&](bool missing, std::string_view key) {
        if (missing)
            faults.push_back(fmt::format("propagator.streams.{}.{}: is required but not set", name, key));
    };
    report(stream.period.count() == 0 && !is_load, "period_seconds");
    report(stream.target.empty(), "post_endpoint");
    report(stream.payload_file.empty(), "payload_file");
}

bool has_kafka_sink(const OutboxConfig& outbox)
{
    const auto is_kafka = [](const auto& named) {
        const auto* url = named.second.if_contains("sink");
        return url != nullptr && url->is_string() && url->get_string().starts_with("kafka:");
    };
    return outbox.sink.kind == SinkKind::kafka ||
           std::any_of(outbox.subscriptions.begin(), outbox.subscriptions.end(), is_kafka);
}

}  // namespace

Faults complete_streams(PropagatorConfig& sender, const KafkaConfig& kafka)
{
    Faults faults;
    const bool only_one = sender.streams.empty();
    if (only_one) sender.streams.try_emplace("default");
    bool is_kafka = false;
    for (auto& [name, stream] : sender.streams) {
        if (stream.period.count() == 0) stream.period = sender.period;
        if (stream.target.empty()) stream.target = sender.post_endpoint;
        if (stream.payload_file.empty()) stream.payload_file = sender.payload_file;
        if (!only_one) report_incomplete(name, stream, sender.load.rate != 0, faults);
        is_kafka = is_kafka || stream.target.starts_with("kafka:");
    }
    if (is_kafka && kafka.bootstrap_servers.empty())
        faults.emplace_back("KAFKA_BOOTSTRAP_SERVERS: is required for a target kafka:TOPIC");
    if (sender.load.rate > 0 && sender.streams.size() > 1)
        faults.emplace_back("LOAD_RATE: a load run has one stream, and the file names several");
    if (sender.send.wait_max < sender.send.wait_base)
        faults.emplace_back("SEND_RETRY_MAX_SECONDS: must not be below SEND_RETRY_BASE_SECONDS");
    return faults;
}

Faults subscription_faults(const YamlSubscription& given)
{
    const std::string where = given.origin + ": subscription " + in_quotes(given.name) + ": ";
    if (!domain::valid_subscription_name(given.name) || given.name == domain::default_subscription)
        return {where + "the name must be 1 to 100 of A-Z a-z 0-9 . _ -, and not \"default\""};
    if (!given.settings.is_object()) return {where + "must be a map of settings"};
    Faults faults;
    const auto& settings = given.settings.get_object();
    const auto parsed = domain::parse_subscription(settings);
    if (!parsed) {
        for (const auto& field : parsed.error().fields)
            faults.push_back(where + field.field + " " + field.message);
    }
    const auto* sink = settings.if_contains("sink");
    const auto* text = sink == nullptr ? nullptr : sink->if_string();
    if (text == nullptr || !parse_sink({text->data(), text->size()}))
        faults.push_back(where + "sink must be " + std::string(sink_kinds));
    return faults;
}

Faults combination_faults(Binary binary, const Config& config)
{
    Faults faults;
    const auto require = [&](bool holds, std::string_view fault) {
        if (!holds) faults.emplace_back(fault);
    };
    const auto& outbox = config.outbox;
    const auto& ingest = config.ingest;
    const auto& kafka = config.kafka;
    require(outbox.retry_max >= outbox.retry_base,
            "OUTBOX_RETRY_MAX_SECONDS: must not be below OUTBOX_RETRY_BASE_SECONDS");
    require(binary != Binary::worker || !has_kafka_sink(outbox) || !kafka.bootstrap_servers.empty(),
            "KAFKA_BOOTSTRAP_SERVERS: is required for the sink kafka:");
    require(ingest.queue_bytes_max >= ingest.body_bytes_max,
            "INGEST_QUEUE_BYTES_MAX: must not be below INGEST_BODY_BYTES_MAX");
    require(ingest.queue_rows_max >= ingest.batch_rows_max,
            "INGEST_QUEUE_ROWS_MAX: must not be below INGEST_BATCH_ROWS_MAX");
    if (binary != Binary::consumer) return faults;
    // The hub may be all there is to read.
    if (config.event_hub.mode == EventHubMode::amqp && kafka.topics.empty()) return faults;
    require(!kafka.bootstrap_servers.empty(),
            "KAFKA_BOOTSTRAP_SERVERS (or KAFKA_BROKERS): is required but not set; give a host:port");
    require(!kafka.topics.empty(),
            "KAFKA_TOPICS (or kafka.topics in YAML): is required but not set; give TOPIC=SERVICE");
    return faults;
}

}  // namespace infra::config
