#pragma once

#include "domain/address_policy.hpp"
#include "domain/propagation/payload_template.hpp"
#include "domain/propagation/send_policy.hpp"
#include "domain/propagation/tick_schedule.hpp"
#include "domain/retention.hpp"
#include "domain/workflow/workflow.hpp"
#include "infra/log/level.hpp"

#include <boost/json/object.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace infra {

using Milliseconds = std::chrono::milliseconds;

// The validated configuration of one process: plain values, passed by const reference to constructors.
// load_config() fills every field from the table of options, which is the only place that knows defaults,
// so a Config made by hand (in a test) starts with zeros.

struct DatabaseConfig {
    // A libpq URI with its password. Never log it: redacted_url() is for that.
    std::string url;
    std::size_t pool_size = 0;

    std::string redacted_url() const;
};

struct HttpConfig {
    std::string host;
    std::uint16_t port = 0;  // 0 = any free port
    std::size_t threads = 0;
    std::size_t connections_max = 0;
    std::size_t followers_max = 0;  // of GET /events/stream; beside the connections
    Milliseconds read_timeout{};
    Milliseconds idle_timeout{};
    Milliseconds write_timeout{};
};

struct AdminConfig {
    std::uint16_t port = 0;  // 0 = any free port; the address is HttpConfig::host
    bool disabled = false;
};

enum class SinkKind { log, null, http, kafka, amqp };

struct SinkConfig {
    SinkKind kind = SinkKind::log;
    std::string url;  // as configured: "log:", "null:", "kafka:", "kafka:TOPIC", an http(s) or amqp(s) URL
};

constexpr std::string_view sink_kinds = "log:, null:, kafka:, kafka:TOPIC, http(s)://... or amqp(s)://...";

// Nothing when it is no sink.
std::optional<SinkConfig> parse_sink(std::string_view text);

// `subscriptions:` of the YAML file: name -> settings, as domain::parse_subscription reads them.
using ConfiguredSubscriptions = std::map<std::string, boost::json::object>;

struct OutboxConfig {
    SinkConfig sink;
    std::vector<domain::Network> allowed_networks;  // private ones that sinks named over the API may be in
    ConfiguredSubscriptions subscriptions;
    Milliseconds poll_interval{};
    std::size_t batch_rows_max = 0;
    std::uint32_t attempts_max = 0;
    Milliseconds retry_base{};
    Milliseconds retry_max{};
    Milliseconds send_timeout{};
    std::size_t in_flight_max = 0;
};

struct RetentionConfig {
    domain::RetentionPolicy policy;
    Milliseconds interval{};
};

enum class UnknownServices { accept, reject };

enum class Validation { lenient, strict };

struct IngestConfig {
    UnknownServices unknown_services = UnknownServices::accept;
    Validation validation = Validation::lenient;
    std::map<std::string, Validation, std::less<>> validation_by_service;
    std::size_t body_bytes_max = 0;
    std::size_t queue_rows_max = 0;
    std::size_t queue_bytes_max = 0;
    std::size_t batch_rows_max = 0;
    bool publish_base_events = false;

    Validation validation_of(std::string_view service) const;
};

struct RulesConfig {
    Milliseconds dedupe_window{};  // 0 = off
    std::map<std::string, Milliseconds, std::less<>> dedupe_window_by_rule;
    double energy_threshold_kwh = 0;

    Milliseconds dedupe_window_of(std::string_view rule) const;
};

// Where a group begins that was never here.
enum class OffsetReset { earliest, latest };

struct KafkaConfig {
    std::string bootstrap_servers;    // empty = no Kafka
    std::string schema_registry_url;  // empty = none
    std::string topic;
    std::string client_id;
    std::string group_id;
    OffsetReset offset_reset = OffsetReset::earliest;
    std::map<std::string, std::string, std::less<>> topics;  // topic -> "SERVICE", "record:" or "header:NAME"
    std::map<std::string, std::string, std::less<>> services;  // record name or header value -> service
    // librdkafka's own, such as sasl.password. Never log them.
    std::map<std::string, std::string> properties;
};

enum class EventHubMode { http, kafka, amqp };

struct EventHubConfig {
    EventHubMode mode = EventHubMode::http;
    // USE_HTTP and USE_KAFKA of the older orchestrator; they decide `mode` only where EVENT_HUB_MODE is not
    // set.
    bool legacy_use_http = false;
    bool legacy_use_kafka = false;
    std::string url;          // of the AMQP broker, without parameters. Never log it.
    std::string queue;        // of the AMQP broker
    Milliseconds patience{};  // how long a task waits for the hub
};

// How an endpoint is told who calls: by a token, or by one that a server grants for client credentials.
// Never log it.
struct BearerConfig {
    std::string token;
    std::string token_url;  // empty = no server
    std::string client_id;
    std::string client_secret;
    std::string scope;
    Milliseconds timeout{};         // of one request of a token
    Milliseconds refresh_before{};  // its end
};

// Where the calls of workflows go.
struct CallEndpoint {
    std::string url;         // of http(s); a call's path is appended
    Milliseconds timeout{};  // of one try; 0 = OUTBOX_TIMEOUT_SECONDS
    BearerConfig bearer = {};
    std::uint32_t attempts_max = 0;  // 0 = OUTBOX_MAX_ATTEMPTS
};

struct WorkflowConfig {
    domain::workflow::Settings settings;
    std::map<std::string, CallEndpoint, std::less<>> endpoints;
};

// The orchestrators 001 and 000. load_config() turns both into endpoints.
struct TasksConfig {
    std::string revenue_url;
    std::string rebates_url;
    std::string specialty_url;
    Milliseconds call_timeout{};
};

struct UrbanApiConfig {
    CallEndpoint endpoint;  // no URL = none
    std::string auth_server_url;
    std::string realm;
};

struct LogFileConfig {
    std::string path;
    std::optional<LogLevel> level = {};  // empty = that of standard error
};

struct LogConfig {
    LogLevel level = LogLevel::info;  // of standard error
    LogFormat format = LogFormat::json;
    bool colour = false;
    std::string name;                            // of this installation; empty = the program's
    std::map<std::string, LogFileConfig> files;  // by their places in the list
};

struct PropagatorStream {
    Milliseconds period{};
    std::string target;  // an http(s) URL or "kafka:TOPIC"
    std::string payload_file;
};

// A load run takes the place of the period.
struct LoadConfig {
    double rate = 0;  // requests per second; 0 = no load run
    Milliseconds duration{};
    std::size_t connections_max = 0;
    std::string report_file;  // *.json or *.csv; empty = none
};

struct PropagatorConfig {
    std::chrono::seconds period{};
    std::string post_endpoint;
    std::string payload_file;
    std::string health_check_endpoint;  // empty = no probe
    // By name; what the file leaves out is taken from the three fields above. Never empty after loading:
    // without streams in the file those three are the stream "default".
    std::map<std::string, PropagatorStream, std::less<>> streams;
    domain::propagation::PayloadOrder payload_order = domain::propagation::PayloadOrder::random;
    std::optional<std::uint64_t> payload_seed;
    bool payload_templates = false;
    domain::propagation::MissedTicks missed_ticks = domain::propagation::MissedTicks::skip;
    domain::propagation::SendPolicy send;
    Milliseconds send_timeout{};
    std::size_t in_flight_max = 0;  // of each stream
    std::size_t metrics_window = 0;
    std::string certificate_file;  // empty = the system's trust store
    LoadConfig load;
};

struct Config {
    DatabaseConfig database;
    HttpConfig http;
    AdminConfig admin;
    OutboxConfig outbox;
    RetentionConfig retention;
    IngestConfig ingest;
    RulesConfig rules;
    KafkaConfig kafka;
    EventHubConfig event_hub;
    WorkflowConfig workflows;
    TasksConfig tasks;
    UrbanApiConfig urban_api;
    LogConfig log;
    PropagatorConfig propagator;
    std::string otel_endpoint;      // empty = no telemetry
    double otel_sampled_share = 0;  // of the traces that begin here
    Milliseconds drain_timeout{};
};

// Scheme, host and port of a URL, or "***" when it cannot be read: user, password, path and query may be
// secret.
std::string redacted_http_url(std::string_view url);

// A libpq URI without its password and without every parameter that might hold one.
std::string redacted_database_url(const std::string& url);

}  // namespace infra
