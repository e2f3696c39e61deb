#include "config_support.hpp"

#include <doctest/doctest.h>

#include <sstream>
#include <string>
#include <vector>

using namespace config_support;

namespace {

std::string yaml_of_path(const std::string& path, const std::string& value)
{
    std::string text;
    std::string indent;
    std::istringstream segments(path);
    for (std::string segment; std::getline(segments, segment, '.'); indent += "  ") {
        text += (text.empty() ? "" : "\n") + indent + segment + ":";
    }
    return text + " " + value + "\n";
}

struct Range {
    Binary binary;
    std::string name;
    std::string yaml_path;
    std::vector<std::string> good;
    std::vector<std::string> bad;
};

const std::vector<Range>& ranges()
{
    using B = Binary;
    static const std::vector<Range> table{
        {B::api,
         "DB_POOL_SIZE",
         "database.pool_size",
         {"1", "256"},
         {"0", "257", "-1", "x", "1.5", "4x", "+4"}},
        {B::api, "HOST", "http.host", {"0.0.0.0", "::1", "db.city"}, {"a b", "http://x", "a/b"}},
        {B::api, "PORT", "http.port", {"0", "65535"}, {"-1", "65536", "http", "99999999999999999999"}},
        {B::worker, "ADMIN_PORT", "admin.port", {"0", "65535"}, {"-1", "65536"}},
        {B::worker,
         "PROMETHEUS_DISABLE",
         "admin.disable",
         {"true", "FALSE", "1", "0", "Yes", "no", "ON", "off"},
         {"2", "maybe", "t"}},
        {B::api, "DRAIN_SECONDS", "drain_seconds", {"0", "600", "0.5"}, {"-1", "601"}},
        {B::api,
         "LOG_LEVEL",
         "log.level",
         {"trace", "DEBUG", "Info", "warning", "error", "critical", "warn"},
         {"loud", "inf"}},
        {B::api, "LOG_FORMAT", "log.format", {"json", "TEXT"}, {"xml"}},
        {B::api,
         "OTEL_EXPORTER_OTLP_ENDPOINT",
         "otel.endpoint",
         {"http://otel:4318/v1"},
         {"otel:4318", "ftp://otel"}},
        {B::api, "OTEL_TRACES_SAMPLER_ARG", "otel.sampled_share", {"0", "0.01", "1"}, {"-0.1", "1.1", "nan"}},
        {B::api, "HTTP_THREADS", "http.threads", {"1", "64"}, {"0", "65"}},
        {B::api, "EVENT_STREAM_FOLLOWERS_MAX", "http.followers_max", {"0", "65536"}, {"-1", "65537"}},
        {B::api, "HTTP_CONNECTIONS_MAX", "http.connections_max", {"1", "65536"}, {"0", "65537"}},
        {B::api,
         "HTTP_READ_TIMEOUT_SECONDS",
         "http.read_timeout_seconds",
         {"0.001", "3600"},
         {"0", "3601", "nan", "inf"}},
        {B::api,
         "HTTP_IDLE_TIMEOUT_SECONDS",
         "http.idle_timeout_seconds",
         {"0.001", "3600"},
         {"0", "3601", "-1"}},
        {B::api,
         "HTTP_WRITE_TIMEOUT_SECONDS",
         "http.write_timeout_seconds",
         {"0.001", "3600"},
         {"0", "3601"}},
        {B::api, "INGEST_UNKNOWN_SERVICES", "ingest.unknown_services", {"accept", "Reject"}, {"no"}},
        {B::api, "INGEST_VALIDATION", "ingest.validation", {"lenient", "STRICT"}, {"loose"}},
        {B::api,
         "INGEST_BODY_BYTES_MAX",
         "ingest.body_bytes_max",
         {"1", "67108864"},
         {"0", "67108865", "1MiB"}},
        {B::api,
         "INGEST_QUEUE_ROWS_MAX",
         "ingest.queue_rows_max",
         {"1000", "10000000"},
         {"0", "10000001", "999"}},
        {B::api,
         "INGEST_QUEUE_BYTES_MAX",
         "ingest.queue_bytes_max",
         {"1048576", "68719476736"},
         {"0", "68719476737", "1048575"}},
        {B::api, "INGEST_BATCH_ROWS_MAX", "ingest.batch_rows_max", {"1", "10000"}, {"0", "10001"}},
        {B::api, "PUBLISH_BASE_EVENTS", "ingest.publish_base_events", {"true"}, {"ja"}},
        {B::api,
         "DERIVED_DEDUPE_WINDOW_SECONDS",
         "rules.dedupe_window_seconds",
         {"0", "31536000", "1e3"},
         {"-1", "31536001", "5m"}},
        {B::api,
         "ENERGY_THRESHOLD_KWH",
         "rules.critical_energy_usage.threshold_kwh",
         {"0", "-1.5", "1e6"},
         {"inf", "nan", "1e999", "x", "0x10"}},
        {B::worker,
         "OUTBOX_SINK",
         "outbox.sink",
         {"'log:'", "'null:'", "http://h:1/p", "https://[::1]/"},
         {"log", "log:x", "http://", "ftp://h", "http://h:99999", "file:/x"}},
        {B::worker, "OUTBOX_POLL_SECONDS", "outbox.poll_seconds", {"0.001", "3600"}, {"0", "-1", "3601"}},
        {B::worker, "OUTBOX_BATCH_SIZE", "outbox.batch_size", {"1", "10000"}, {"0", "10001"}},
        {B::worker, "OUTBOX_MAX_ATTEMPTS", "outbox.max_attempts", {"1", "100"}, {"0", "101"}},
        {B::worker,
         "OUTBOX_RETRY_BASE_SECONDS",
         "outbox.retry_base_seconds",
         {"0.001", "300"},
         {"0", "3601", "301"}},
        {B::worker,
         "OUTBOX_RETRY_MAX_SECONDS",
         "outbox.retry_max_seconds",
         {"1", "86400"},
         {"0", "86401", "0.9"}},
        {B::worker, "OUTBOX_TIMEOUT_SECONDS", "outbox.timeout_seconds", {"0.001", "3600"}, {"0", "3601"}},
        {B::worker, "OUTBOX_IN_FLIGHT_MAX", "outbox.in_flight_max", {"1", "10000"}, {"0", "10001"}},
        {B::api,
         "RETENTION_EVENTS_DAYS",
         "retention.events_days",
         {"0", "0.5", "36500"},
         {"-1", "36501", "7d"}},
        {B::api, "RETENTION_OUTBOX_DAYS", "retention.outbox_days", {"0", "36500"}, {"-0.1", "36500.1"}},
        {B::api, "RETENTION_DEAD_LETTERS_DAYS", "retention.dead_letters_days", {"0", "1e3"}, {"-1", "nan"}},
        {B::api, "RETENTION_QUARANTINE_DAYS", "retention.quarantine_days", {"0", "36500"}, {"x", "36501"}},
        {B::api,
         "RETENTION_INTERVAL_SECONDS",
         "retention.interval_seconds",
         {"0.05", "86400"},
         {"0", "86401"}},
        {B::worker,
         "KAFKA_BOOTSTRAP_SERVERS",
         "kafka.bootstrap_servers",
         {"kafka:9092", "'a:1, b:2'", "kafka"},
         {"a:0", "a:65536", "'a:1,'", "'a b'"}},
        {B::worker,
         "SCHEMA_REGISTRY_URL",
         "kafka.schema_registry_url",
         {"http://registry:8081"},
         {"registry", "http://"}},
        {B::worker, "KAFKA_TOPIC", "kafka.topic", {"a.b-c_d"}, {"a b", "'..'", "ä"}},
        {B::api, "EVENT_HUB_MODE", "event_hub.mode", {"http", "kafka", "AMQP"}, {"mqtt"}},
        {B::api, "USE_HTTP", "event_hub.use_http", {"True"}, {"2"}},
        {B::api, "USE_KAFKA", "event_hub.use_kafka", {"True"}, {"2"}},
        {B::propagator,
         "PERIOD_IN_SECONDS",
         "propagator.period_seconds",
         {"1", "31536000"},
         {"0", "-5", "2.5", "abc"}},
        {B::propagator,
         "HTTP_POST_ENDPOINT",
         "propagator.post_endpoint",
         {"http://h/event", "https://h"},
         {"h/event", "ftp://h"}},
        {B::propagator,
         "HEALTH_CHECK_ENDPOINT",
         "propagator.health_check_endpoint",
         {"http://h/health"},
         {"h"}},
    };
    return table;
}

std::string unquoted(std::string text)
{
    if (text.starts_with('\'')) text = text.substr(1, text.size() - 2);
    return text;
}

}  // namespace

TEST_SUITE("infra/config")
{
    TEST_CASE("a value within its bounds is taken from the environment and from YAML, one beyond is a fault")
    {
        const Workspace space;
        for (const auto& range : ranges()) {
            CAPTURE(range.name);
            for (const auto& good : range.good) {
                CAPTURE(good);
                const auto from_env = space.load_complete(range.binary, {{range.name, unquoted(good)}});
                CHECK_MESSAGE(from_env.faults.empty(), joined(from_env.faults));
                if (contains(range.yaml_path, "propagator.p")) continue;  // set by load_complete()
                space.write("good.yaml", yaml_of_path(range.yaml_path, good));
                const auto from_yaml = space.load_complete(range.binary, {{"CONFIG_PATH", "good.yaml"}});
                CHECK_MESSAGE(from_yaml.faults.empty(), joined(from_yaml.faults));
            }
            for (const auto& bad : range.bad) {
                CAPTURE(bad);
                const auto loaded = space.load_complete(range.binary, {{range.name, unquoted(bad)}});
                REQUIRE(loaded.faults.size() == 1);
                const bool names_it = contains(loaded.faults[0], range.name);
                CHECK_MESSAGE(names_it, loaded.faults[0]);
                if (contains(range.yaml_path, "propagator.p")) continue;
                space.write("bad.yaml", yaml_of_path(range.yaml_path, bad));
                CHECK(space.load_complete(range.binary, {{"CONFIG_PATH", "bad.yaml"}}).faults.size() == 1);
            }
        }
    }
}

TEST_SUITE("infra/config/help")
{
    TEST_CASE("every option of the bounds table is in the help of its binary and in the Markdown table")
    {
        const std::string markdown = infra::options_markdown();
        for (const auto& range : ranges()) {
            CAPTURE(range.name);
            CHECK(contains(infra::options_help(range.binary), range.name));
            CHECK(contains(markdown, "`" + range.name + "`"));
            CHECK(contains(markdown, "`" + range.yaml_path + "`"));
        }
        CHECK_FALSE(contains(infra::options_help(Binary::migrate), "OUTBOX_SINK"));
        CHECK(contains(infra::options_help(Binary::worker), "ADMIN_PORT = 9001"));
        CHECK(contains(infra::options_help(Binary::api), "DATABASE_URL (POSTGRES_DSN) (required)"));
    }
}
