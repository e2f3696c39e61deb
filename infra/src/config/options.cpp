#include "config/option.hpp"
#include "config/rules.hpp"
#include "config/settings.hpp"

#include <optional>

// The table of options. A new option is one row here and one field in Config.
namespace infra::config {
namespace {

constexpr double hour = 3600;
constexpr double day = 24 * hour;
constexpr double year = 365 * day;
constexpr double tick = 0.001;  // durations are kept in milliseconds
constexpr std::int64_t kib = 1024;
constexpr std::int64_t mib = 1024 * kib;
constexpr std::int64_t gib = 1024 * mib;

constexpr BinarySet ingesting = api | consumer;
constexpr BinarySet with_admin_port = worker | consumer | propagator;
constexpr BinarySet with_database = api | worker | migrate | consumer;
constexpr BinarySet long_running = api | worker | consumer | propagator;

const Names<Validation>& validation_names()
{
    static const Names<Validation> names{{"lenient", Validation::lenient}, {"strict", Validation::strict}};
    return names;
}

Option admin_port(BinarySet binary, std::string_view default_text)
{
    return {.name = "ADMIN_PORT",
            .yaml_path = "admin.port",
            .yaml_aliases = {"prometheus.port"},
            .default_text = default_text,
            .used_by = binary,
            .rule = integer(
                0, 65535, [](Config & c) -> auto& { return c.admin.port; }),
            .help = "Port of /metrics, /healthz and /readyz; 0 = any free port."};
}

void append(std::vector<Option>& table, std::vector<Option> rows)
{
    table.insert(table.end(), std::make_move_iterator(rows.begin()), std::make_move_iterator(rows.end()));
}

std::vector<Option> process_options()
{
    return {
        {.name = "DATABASE_URL",
         .aliases = {"POSTGRES_DSN"},
         .yaml_path = "database.url",
         .used_by = with_database,
         .required = true,
         .rule = text(
             "libpq URI postgresql://...", Shown::secret, check_database_url,
             [](Config & c) -> auto& { return c.database.url; }),
         .help = "The PostgreSQL database; a +driver suffix of the scheme is ignored."},
        {.name = "DB_POOL_SIZE",
         .yaml_path = "database.pool_size",
         .default_text = "4",
         .used_by = api | worker | consumer,
         .rule = integer(
             1, 256, [](Config & c) -> auto& { return c.database.pool_size; }),
         .help = "Database connections."},
        {.name = "HOST",
         .yaml_path = "http.host",
         .default_text = "127.0.0.1",
         .used_by = long_running,
         .rule = text(
             "IP address or host name", Shown::plain, check_host,
             [](Config & c) -> auto& { return c.http.host; }),
         .help = "Address to listen on; 0.0.0.0 in a container."},
        {.name = "PORT",
         .yaml_path = "http.port",
         .default_text = "8000",
         .used_by = api,
         .rule = integer(
             0, 65535, [](Config & c) -> auto& { return c.http.port; }),
         .help = "Port of the API; 0 = any free port."},
        admin_port(consumer, "9000"),
        admin_port(worker, "9001"),
        admin_port(propagator, "9002"),
        {.name = "PROMETHEUS_DISABLE",
         .yaml_path = "admin.disable",
         .yaml_aliases = {"prometheus.disable"},
         .default_text = "false",
         .used_by = with_admin_port,
         .rule = boolean([](Config & c) -> auto& { return c.admin.disabled; }),
         .help = "Do not open the admin port."},
        {.name = "DRAIN_SECONDS",
         .yaml_path = "drain_seconds",
         .default_text = "10",
         .used_by = long_running,
         .rule = seconds(
             0, 600, [](Config & c) -> auto& { return c.drain_timeout; }),
         .help = "How long work in progress may take after SIGTERM."},
        {.name = "OTEL_EXPORTER_OTLP_ENDPOINT",
         .yaml_path = "otel.endpoint",
         .default_note = "off",
         .used_by = long_running,
         .rule = text(
             "http(s) URL", Shown::url, check_http_url, [](Config & c) -> auto& { return c.otel_endpoint; }),
         .help = "Where traces go (OTLP/HTTP)."},
        {.name = "OTEL_TRACES_SAMPLER_ARG",
         .yaml_path = "otel.sampled_share",
         .default_text = "1",
         .used_by = long_running,
         .rule = number(
             0, 1, [](Config & c) -> auto& { return c.otel_sampled_share; }),
         .help =
             "Share of the traces that begin here and are kept; one that comes with a decision keeps it."},
    };
}

std::vector<Option> http_options()
{
    return {
        {.name = "HTTP_THREADS",
         .yaml_path = "http.threads",
         .default_text = "1",
         .used_by = api,
         .rule = integer(
             1, 64, [](Config & c) -> auto& { return c.http.threads; }),
         .help = "Threads that serve connections."},
        {.name = "HTTP_CONNECTIONS_MAX",
         .yaml_path = "http.connections_max",
         .default_text = "1024",
         .used_by = api,
         .rule = integer(
             1, 65536, [](Config & c) -> auto& { return c.http.connections_max; }),
         .help = "Open connections; more are closed at once."},
        {.name = "EVENT_STREAM_FOLLOWERS_MAX",
         .yaml_path = "http.followers_max",
         .default_text = "1024",
         .used_by = api,
         .rule = integer(
             0, 65536, [](Config & c) -> auto& { return c.http.followers_max; }),
         .help = "Followers of GET /events/stream at a time; 0 = none."},
        {.name = "HTTP_READ_TIMEOUT_SECONDS",
         .yaml_path = "http.read_timeout_seconds",
         .default_text = "15",
         .used_by = api,
         .rule = seconds(
             tick, hour, [](Config & c) -> auto& { return c.http.read_timeout; }),
         .help = "Time to receive one request."},
        {.name = "HTTP_IDLE_TIMEOUT_SECONDS",
         .yaml_path = "http.idle_timeout_seconds",
         .default_text = "75",
         .used_by = api,
         .rule = seconds(
             tick, hour, [](Config & c) -> auto& { return c.http.idle_timeout; }),
         .help = "Time between two requests of one connection."},
        {.name = "HTTP_WRITE_TIMEOUT_SECONDS",
         .yaml_path = "http.write_timeout_seconds",
         .default_text = "15",
         .used_by = api,
         .rule = seconds(
             tick, hour, [](Config & c) -> auto& { return c.http.write_timeout; }),
         .help = "Time to send one answer."},
    };
}

std::vector<Option> ingest_options()
{
    return {
        {.name = "INGEST_UNKNOWN_SERVICES",
         .yaml_path = "ingest.unknown_services",
         .default_text = "accept",
         .used_by = ingesting,
         .rule = one_of<UnknownServices>(
             {{"accept", UnknownServices::accept}, {"reject", UnknownServices::reject}}, {},
             [](Config & c) -> auto& { return c.ingest.unknown_services; }),
         .help = "Events of services without a normalizer: stored as they are, or 404."},
        {.name = "INGEST_VALIDATION",
         .yaml_path = "ingest.validation",
         .default_text = "lenient",
         .used_by = ingesting,
         .rule = one_of<Validation>(
             validation_names(), {}, [](Config & c) -> auto& { return c.ingest.validation; }),
         .help = "Fields of a wrong type: stored and reported, or refused with 422."},
        {.yaml_path = "ingest.services.*.validation",
         .default_note = "INGEST_VALIDATION",
         .used_by = ingesting,
         .key_kind = KeyKind::service,
         .rule = one_of_by_key<Validation>(validation_names(), {},
                                           [](Config& c, std::string_view service, Validation value) {
                                               c.ingest.validation_by_service.insert_or_assign(
                                                   std::string(service), value);
                                           }),
         .help = "The same for one service."},
        {.name = "INGEST_BODY_BYTES_MAX",
         .yaml_path = "ingest.body_bytes_max",
         .default_text = "1048576",
         .used_by = ingesting,
         .rule = integer(
             1, 64 * mib, [](Config & c) -> auto& { return c.ingest.body_bytes_max; }),
         .help = "Largest request body in bytes; a larger one is answered 413."},
        {.name = "INGEST_QUEUE_ROWS_MAX",
         .yaml_path = "ingest.queue_rows_max",
         .default_text = "20000",
         .used_by = ingesting,
         .rule = integer(
             1, 10'000'000, [](Config & c) -> auto& { return c.ingest.queue_rows_max; }),
         .help = "Events that may wait for the writer; more are answered 503."},
        {.name = "INGEST_QUEUE_BYTES_MAX",
         .yaml_path = "ingest.queue_bytes_max",
         .default_text = "67108864",
         .used_by = ingesting,
         .rule = integer(
             1, 64 * gib, [](Config & c) -> auto& { return c.ingest.queue_bytes_max; }),
         .help = "Bytes that may wait for the writer; more are answered 503."},
        {.name = "INGEST_BATCH_ROWS_MAX",
         .yaml_path = "ingest.batch_rows_max",
         .default_text = "1000",
         .used_by = ingesting,
         .rule = integer(
             1, 10'000, [](Config & c) -> auto& { return c.ingest.batch_rows_max; }),
         .help = "Events written in one transaction."},
        {.name = "PUBLISH_BASE_EVENTS",
         .yaml_path = "ingest.publish_base_events",
         .default_text = "false",
         .used_by = ingesting,
         .rule = boolean([](Config & c) -> auto& { return c.ingest.publish_base_events; }),
         .help = "Publish base events too, not only derived ones."},
    };
}

std::vector<Option> rule_options()
{
    return {
        {.name = "DERIVED_DEDUPE_WINDOW_SECONDS",
         .yaml_path = "rules.dedupe_window_seconds",
         .default_text = "300",
         .used_by = ingesting,
         .rule = seconds(
             0, year, [](Config & c) -> auto& { return c.rules.dedupe_window; }),
         .help = "How long a derived event suppresses others with its key; 0 = off."},
        {.yaml_path = "rules.*.dedupe_window_seconds",
         .default_note = "DERIVED_DEDUPE_WINDOW_SECONDS",
         .used_by = ingesting,
         .key_kind = KeyKind::rule,
         .rule = seconds_by_key(0, year,
                                [](Config& c, std::string_view rule, Milliseconds value) {
                                    c.rules.dedupe_window_by_rule.insert_or_assign(std::string(rule), value);
                                }),
         .help = "The same for one rule, such as health_emergency."},
        {.name = "ENERGY_THRESHOLD_KWH",
         .yaml_path = "rules.critical_energy_usage.threshold_kwh",
         .default_text = "500",
         .used_by = ingesting,
         .rule = finite_number([](Config & c) -> auto& { return c.rules.energy_threshold_kwh; }),
         .help = "Energy use in kWh above which the energy rule fires."},
    };
}

std::vector<Option> outbox_options()
{
    return {
        {.name = "OUTBOX_SINK",
         .yaml_path = "outbox.sink",
         .default_text = "log:",
         .used_by = worker,
         .rule = sink([](Config & c) -> auto& { return c.outbox.sink; }),
         .help = "Where the default subscription delivers all topics."},
        {.name = "OUTBOX_POLL_SECONDS",
         .yaml_path = "outbox.poll_seconds",
         .default_text = "1",
         .used_by = worker,
         .rule = seconds(
             tick, hour, [](Config & c) -> auto& { return c.outbox.poll_interval; }),
         .help = "Pause between two looks at an empty outbox."},
        {.name = "OUTBOX_BATCH_SIZE",
         .yaml_path = "outbox.batch_size",
         .default_text = "500",
         .used_by = worker,
         .rule = integer(
             1, 10'000, [](Config & c) -> auto& { return c.outbox.batch_rows_max; }),
         .help = "Rows read ahead per lane."},
        {.name = "OUTBOX_MAX_ATTEMPTS",
         .yaml_path = "outbox.max_attempts",
         .default_text = "5",
         .used_by = worker,
         .rule = integer(
             1, 100, [](Config & c) -> auto& { return c.outbox.attempts_max; }),
         .help = "Failed tries before a message is a dead letter."},
        {.name = "OUTBOX_RETRY_BASE_SECONDS",
         .yaml_path = "outbox.retry_base_seconds",
         .default_text = "1",
         .used_by = worker,
         .rule = seconds(
             tick, hour, [](Config & c) -> auto& { return c.outbox.retry_base; }),
         .help = "Upper limit of the first wait; it doubles with every failed try."},
        {.name = "OUTBOX_RETRY_MAX_SECONDS",
         .yaml_path = "outbox.retry_max_seconds",
         .default_text = "300",
         .used_by = worker,
         .rule = seconds(
             tick, day, [](Config & c) -> auto& { return c.outbox.retry_max; }),
         .help = "Longest wait between two tries."},
        {.name = "OUTBOX_TIMEOUT_SECONDS",
         .yaml_path = "outbox.timeout_seconds",
         .default_text = "10",
         .used_by = worker,
         .rule = seconds(
             tick, hour, [](Config & c) -> auto& { return c.outbox.send_timeout; }),
         .help = "Time for one HTTP delivery."},
        {.name = "OUTBOX_IN_FLIGHT_MAX",
         .yaml_path = "outbox.in_flight_max",
         .default_text = "64",
         .used_by = worker,
         .rule = integer(
             1, 10'000, [](Config & c) -> auto& { return c.outbox.in_flight_max; }),
         .help = "Deliveries under way at one time, for each subscription."},
        {.name = "OUTBOX_ALLOWED_NETWORKS",
         .yaml_path = "outbox.allowed_networks",
         .default_note = "none",
         .used_by = api | worker,
         .rule = networks([](Config & c) -> auto& { return c.outbox.allowed_networks; }),
         .help = "Private networks that sinks of subscriptions made over the API may be in."},
    };
}

std::vector<Option> broker_options()
{
    return {
        {.name = "KAFKA_BOOTSTRAP_SERVERS",
         .aliases = {"KAFKA_BROKERS"},
         .yaml_path = "kafka.bootstrap_servers",
         .yaml_aliases = {"broker.bootstrap_servers"},
         .default_note = "none",
         .used_by = api | worker | consumer | propagator,
         .rule = text(
             "host:port[,host:port...]", Shown::url, check_brokers,
             [](Config & c) -> auto& { return c.kafka.bootstrap_servers; }),
         .help = "Kafka brokers."},
        {.name = "SCHEMA_REGISTRY_URL",
         .yaml_path = "kafka.schema_registry_url",
         .yaml_aliases = {"broker.schema_registry_url"},
         .default_note = "none",
         .used_by = api | worker | consumer,
         .rule = text(
             "http(s) URL", Shown::url, check_http_url,
             [](Config & c) -> auto& { return c.kafka.schema_registry_url; }),
         .help = "Schema registry for Avro records."},
        {.name = "KAFKA_TOPIC",
         .yaml_path = "kafka.topic",
         .default_text = "orchestrator-events",
         .used_by = api | worker | consumer,
         .rule = text(
             "Kafka topic name", Shown::plain, check_topic,
             [](Config & c) -> auto& { return c.kafka.topic; }),
         .help = "Topic of the orchestrator's events."},
    };
}

std::vector<Option> make_options()
{
    std::vector<Option> table;
    append(table, process_options());
    append(table, log_options());
    append(table, http_options());
    append(table, ingest_options());
    append(table, rule_options());
    append(table, outbox_options());
    append(table, retention_options());
    append(table, broker_options());
    append(table, consumer_options());
    append(table, workflow_options());
    append(table, orchestrator_options());
    append(table, propagator_options());
    append(table, conductor_options());
    return table;
}

}  // namespace

const std::vector<Option>& options()
{
    static const std::vector<Option> table = make_options();
    return table;
}

}  // namespace infra::config
