#include "config_support.hpp"

#include <doctest/doctest.h>

#include <sstream>
#include <string>
#include <vector>

using namespace std::chrono_literals;
using namespace config_support;
using infra::Config;

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
        {B::api, "HTTP_THREADS", "http.threads", {"1", "64"}, {"0", "65"}},
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
        {B::consumer,
         "KAFKA_BOOTSTRAP_SERVERS",
         "kafka.bootstrap_servers",
         {"kafka:9092", "'a:1, b:2'", "kafka"},
         {"a:0", "a:65536", "'a:1,'", "'a b'"}},
        {B::consumer,
         "SCHEMA_REGISTRY_URL",
         "kafka.schema_registry_url",
         {"http://registry:8081"},
         {"registry", "http://"}},
        {B::consumer, "KAFKA_TOPIC", "kafka.topic", {"a.b-c_d"}, {"a b", "'..'", "ä"}},
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
    TEST_CASE("every option has its default")
    {
        const Workspace space;
        const auto loaded = space.load_complete(Binary::api, {});
        REQUIRE_MESSAGE(loaded.faults.empty(), joined(loaded.faults));
        const Config& c = loaded.config;
        CHECK(c.database.url == database_url);
        CHECK(c.database.pool_size == 4);
        CHECK(c.http.host == "127.0.0.1");
        CHECK(c.http.port == 8000);
        CHECK(c.http.threads == 1);
        CHECK(c.http.connections_max == 1024);
        CHECK(c.http.read_timeout == 15s);
        CHECK(c.http.idle_timeout == 75s);
        CHECK(c.http.write_timeout == 15s);
        CHECK_FALSE(c.admin.disabled);
        CHECK(c.outbox.sink.kind == infra::SinkKind::log);
        CHECK(c.outbox.sink.url == "log:");
        CHECK(c.outbox.poll_interval == 1s);
        CHECK(c.outbox.batch_rows_max == 500);
        CHECK(c.outbox.attempts_max == 5);
        CHECK(c.outbox.retry_base == 1s);
        CHECK(c.outbox.retry_max == 300s);
        CHECK(c.outbox.send_timeout == 10s);
        CHECK(c.outbox.in_flight_max == 64);
        CHECK(c.ingest.unknown_services == infra::UnknownServices::accept);
        CHECK(c.ingest.validation == infra::Validation::lenient);
        CHECK(c.ingest.body_bytes_max == 1048576);
        CHECK(c.ingest.queue_rows_max == 20000);
        CHECK(c.ingest.queue_bytes_max == 67108864);
        CHECK(c.ingest.batch_rows_max == 1000);
        CHECK_FALSE(c.ingest.publish_base_events);
        CHECK(c.rules.dedupe_window == 300s);
        CHECK(c.rules.energy_threshold_kwh == 500.0);
        CHECK(c.kafka.bootstrap_servers.empty());
        CHECK(c.kafka.schema_registry_url.empty());
        CHECK(c.kafka.topic == "orchestrator-events");
        CHECK(c.event_hub.mode == infra::EventHubMode::http);
        CHECK(c.log.level == infra::LogLevel::info);
        CHECK(c.log.format == infra::LogFormat::json);
        CHECK_FALSE(c.log.colour);
        CHECK(c.otel_endpoint.empty());
        CHECK(c.drain_timeout == 10s);
    }

    TEST_CASE("the admin port depends on the binary")
    {
        const Workspace space;
        CHECK(space.load_complete(Binary::consumer, {}).config.admin.port == 9000);
        CHECK(space.load_complete(Binary::worker, {}).config.admin.port == 9001);
        CHECK(space.load_complete(Binary::propagator, {}).config.admin.port == 9002);
        for (const auto binary : {Binary::consumer, Binary::worker, Binary::propagator}) {
            CHECK(space.load_complete(binary, {{"ADMIN_PORT", "0"}}).config.admin.port == 0);
        }
        space.write("polis.yaml", "admin: {port: 9100}\n");
        CHECK(space.load_complete(Binary::worker, {{"CONFIG_PATH", "polis.yaml"}}).config.admin.port == 9100);
    }

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

    TEST_CASE("a fault names variable, value, origin and what is allowed")
    {
        const Workspace space;
        space.write(".env", "\nOUTBOX_MAX_ATTEMPTS=many\n");
        space.write("polis.yaml", "outbox:\n  poll_seconds: never\n");
        const auto loaded =
            space.load_complete(Binary::worker, {{"OUTBOX_BATCH_SIZE", "0"}, {"CONFIG_PATH", "polis.yaml"}});
        CHECK(faults_contain(
            loaded, "OUTBOX_BATCH_SIZE = \"0\" (environment): must be a whole number, 1 to 10000\n"));
        CHECK(faults_contain(loaded,
                             "OUTBOX_MAX_ATTEMPTS = \"many\" (.env:2): must be a whole number, 1 to 100\n"));
        CHECK(faults_contain(loaded,
                             "OUTBOX_POLL_SECONDS (outbox.poll_seconds) = \"never\" (polis.yaml:2): must be "
                             "0.001 to 3600 seconds\n"));
        CHECK(loaded.faults.size() == 3);
    }

    TEST_CASE("all faults are reported at once")
    {
        const Workspace space;
        space.write(".env", "this is no assignment\n");
        space.write("polis.yaml", "outbox: {batchsize: 3}\nhtpp: {port: 1}\n");
        const auto loaded =
            space.load(Binary::api, {{"PORT", "x"}, {"CONFIG_PATH", "polis.yaml"}, {"HTTP_THREADS", "0"}});
        CHECK(loaded.faults.size() == 6);
        CHECK(faults_contain(loaded, ".env:1: expected KEY=VALUE"));
        CHECK(faults_contain(loaded,
                             "polis.yaml:1: unknown key \"outbox.batchsize\"; did you mean batch_size?"));
        CHECK(faults_contain(loaded, "polis.yaml:2: unknown key \"htpp\"; did you mean http?"));
        CHECK(faults_contain(loaded, "PORT = \"x\""));
        CHECK(faults_contain(loaded, "HTTP_THREADS = \"0\""));
        CHECK(faults_contain(loaded, "DATABASE_URL (or POSTGRES_DSN): is required but not set"));
    }

    TEST_CASE("environment wins over .env, .env over YAML, YAML over the default")
    {
        const Workspace space;
        const auto port = [&](Environment env) {
            return space.load_complete(Binary::api, std::move(env)).config.http.port;
        };
        CHECK(port({}) == 8000);
        space.write("polis.yaml", "http: {port: 8001}\n");
        CHECK(port({{"CONFIG_PATH", "polis.yaml"}}) == 8001);
        space.write(".env", "PORT=8002\n");
        CHECK(port({{"CONFIG_PATH", "polis.yaml"}}) == 8002);
        CHECK(port({{"CONFIG_PATH", "polis.yaml"}, {"PORT", "8003"}}) == 8003);
        SUBCASE("set but empty counts as not set")
        {
            CHECK(port({{"CONFIG_PATH", "polis.yaml"}, {"PORT", " "}}) == 8002);
            space.write(".env", "PORT=\n");
            CHECK(port({{"CONFIG_PATH", "polis.yaml"}, {"PORT", ""}}) == 8001);
        }
        SUBCASE("ENVFILE names another file and CONFIG_PATH may stand in it")
        {
            space.write("other.env", "CONFIG_PATH=polis.yaml\n");
            CHECK(port({{"ENVFILE", "other.env"}}) == 8001);
        }
        SUBCASE("a bad value that is overruled is no fault")
        {
            space.write(".env", "PORT=x\n");
            CHECK(space.load_complete(Binary::api, {{"PORT", "1"}}).faults.empty());
        }
    }

    TEST_CASE("an alias counts like the name, but the name comes first")
    {
        const Workspace space;
        const auto url = [&](Environment env) {
            return space.load(Binary::migrate, std::move(env)).config.database.url;
        };
        CHECK(url({{"POSTGRES_DSN", "postgresql://a/x"}}) == "postgresql://a/x");
        CHECK(url({{"POSTGRES_DSN", "postgresql://a/x"}, {"DATABASE_URL", "postgresql://b/x"}}) ==
              "postgresql://b/x");
        CHECK(url({{"POSTGRES_DSN", "postgresql://a/x"}, {"DATABASE_URL", ""}}) == "postgresql://a/x");
        space.write(".env", "DATABASE_URL=postgresql://file/x\n");
        CHECK(url({{"POSTGRES_DSN", "postgresql://a/x"}}) == "postgresql://a/x");
        const auto kafka = space.load(Binary::consumer, {{"KAFKA_BROKERS", "k:1"}});
        CHECK(kafka.config.kafka.bootstrap_servers == "k:1");
    }

    TEST_CASE("a binary is not disturbed by options it does not use")
    {
        const Workspace space;
        CHECK(space.load_complete(Binary::migrate, {{"PORT", "x"}, {"OUTBOX_SINK", "x"}}).faults.empty());
        CHECK(space.load_complete(Binary::propagator, {{"DATABASE_URL", "x"}}).faults.empty());
        CHECK(space.load(Binary::api, {{"DATABASE_URL", database_url}}).faults.empty());
    }

    TEST_CASE("database URLs")
    {
        const Workspace space;
        struct Case {
            std::string given;
            const char* url;  // null = refused
            const char* redacted;
        };
        const std::vector<Case> cases{
            {"postgresql://u:geheim@h:1/d", "postgresql://u:geheim@h:1/d", "postgresql://u:***@h:1/d"},
            {"postgres://h/d", "postgres://h/d", "postgresql://h/d"},
            {"postgresql+asyncpg://u:geheim@h/d", "postgresql://u:geheim@h/d", "postgresql://u:***@h/d"},
            {"POSTGRESQL+psycopg2://h/d", "postgresql://h/d", "postgresql://h/d"},
            {"postgresql:///d?host=/run/pg&password=geheim", "postgresql:///d?host=/run/pg&password=geheim",
             "postgresql://:***@/d?host=/run/pg"},
            {"postgresql://u@a:1,b:2/d?target_session_attrs=any",
             "postgresql://u@a:1,b:2/d?target_session_attrs=any", "postgresql://u@a:1,b:2/d"},
            {"postgresql://[::1]:5/d", "postgresql://[::1]:5/d", "postgresql://[::1]:5/d"},
            {"postgresql://u:ge%40heim@h/d", "postgresql://u:ge%40heim@h/d", "postgresql://u:***@h/d"},
            {"postgresql://h/d?pass%77ord=geheim", "postgresql://h/d?pass%77ord=geheim",
             "postgresql://:***@h/d"},
            {"sqlite:///geheim.db", nullptr, nullptr},
            {"geheim", nullptr, nullptr},
            {"postgresql://u:ge@heim@h/d", nullptr, nullptr},
            {"postgresql://u:ge/heim@h/d", nullptr, nullptr},
            {"postgresql://u:12/geheim@h/d", nullptr, nullptr},
            {"postgresql://u:geheim", nullptr, nullptr},
            {"postgresql://u:geheim@h:port/d", nullptr, nullptr},
            {"postgresql://u:geheim@h/d?unknown=1", nullptr, nullptr},
            {"postgresql://u:ge heim@h/d", nullptr, nullptr},
        };
        for (const auto& [given, url, redacted] : cases) {
            CAPTURE(given);
            const auto loaded = space.load(Binary::migrate, {{"DATABASE_URL", given}});
            if (url == nullptr) {
                REQUIRE(loaded.faults.size() == 1);
                CHECK(contains(loaded.faults[0], "DATABASE_URL (environment): must be a libpq URI"));
                CHECK_FALSE(contains(loaded.faults[0], "heim"));
                CHECK_FALSE(contains(infra::redacted_database_url(given), "heim"));
            } else {
                CHECK_MESSAGE(loaded.faults.empty(), joined(loaded.faults));
                CHECK(loaded.config.database.url == url);
                CHECK(loaded.config.database.redacted_url() == redacted);
            }
        }
    }

    TEST_CASE("no fault repeats a secret")
    {
        const Workspace space;
        space.write(".env", "DATABASE_URL 'postgresql://u:geheim@h'\nX='geheim\nY=\"geheim\" geheim\n");
        space.write("polis.yaml", "database:\n  url: *geheim\n");
        const auto broken =
            space.load(Binary::worker, {{"CONFIG_PATH", "polis.yaml"},
                                        {"OUTBOX_SINK", "htp://u:geheim@hook/geheim"},
                                        {"KAFKA_BROKERS", "u:geheim@k:1"},
                                        {"SCHEMA_REGISTRY_URL", "registry/geheim"},
                                        {"OTEL_EXPORTER_OTLP_ENDPOINT", "http://x:99999/geheim"}});
        CHECK_MESSAGE(broken.faults.size() == 9, joined(broken.faults));
        CHECK_FALSE(faults_contain(broken, "geheim"));
        space.write("polis.yaml", "database:\n  url: mysql://u:geheim@h\n");
        CHECK_FALSE(faults_contain(space.load(Binary::api, {{"CONFIG_PATH", "polis.yaml"}}), "geheim"));
        CHECK(infra::redacted_http_url("https://u:geheim@h:1/geheim?geheim") == "https://h:1");
        CHECK(infra::redacted_http_url("geheim") == "***");
    }

    TEST_CASE("sinks of other versions are known by name")
    {
        const Workspace space;
        for (const char* const url : {"kafka:", "kafka:topic", "amqp://u:geheim@h", "AMQPS://h"}) {
            const auto loaded = space.load_complete(Binary::worker, {{"OUTBOX_SINK", url}});
            REQUIRE(loaded.faults.size() == 1);
            CHECK(contains(loaded.faults[0], "not built in this version"));
            CHECK_FALSE(contains(loaded.faults[0], "geheim"));
        }
        const auto http = space.load_complete(Binary::worker, {{"OUTBOX_SINK", "https://hook/x"}});
        CHECK(http.config.outbox.sink.kind == infra::SinkKind::http);
        CHECK(http.config.outbox.sink.url == "https://hook/x");
        CHECK(space.load_complete(Binary::worker, {{"OUTBOX_SINK", "null:"}}).config.outbox.sink.kind ==
              infra::SinkKind::null);
    }

    TEST_CASE("the event hub mode follows the older variables unless it is given")
    {
        const Workspace space;
        const auto mode = [&](Environment env) {
            return space.load_complete(Binary::api, std::move(env)).config.event_hub.mode;
        };
        using Mode = infra::EventHubMode;
        CHECK(mode({{"USE_KAFKA", "true"}}) == Mode::kafka);
        CHECK(mode({{"USE_KAFKA", "false"}}) == Mode::http);
        CHECK(mode({{"USE_KAFKA", "true"}, {"USE_HTTP", "True"}}) == Mode::http);
        CHECK(mode({{"USE_KAFKA", "true"}, {"EVENT_HUB_MODE", "amqp"}}) == Mode::amqp);
    }

    TEST_CASE("the log format follows the terminal unless it is given")
    {
        const Workspace space;
        auto sources = space.sources({{"DATABASE_URL", database_url}});
        sources.stderr_is_terminal = true;
        CHECK(infra::load_config(Binary::api, sources).config.log.format == infra::LogFormat::text);
        CHECK(infra::load_config(Binary::api, sources).config.log.colour);
        sources = space.sources({{"DATABASE_URL", database_url}, {"LOG_FORMAT", "json"}, {"NO_COLOR", "1"}});
        sources.stderr_is_terminal = true;
        CHECK(infra::load_config(Binary::api, sources).config.log.format == infra::LogFormat::json);
        CHECK_FALSE(infra::load_config(Binary::api, sources).config.log.colour);
    }

    TEST_CASE("options depend on each other")
    {
        const Workspace space;
        CHECK(faults_contain(space.load_complete(Binary::worker, {{"OUTBOX_RETRY_MAX_SECONDS", "0.5"}}),
                             "must not be below OUTBOX_RETRY_BASE_SECONDS"));
        CHECK(faults_contain(space.load_complete(Binary::api, {{"INGEST_QUEUE_BYTES_MAX", "10"}}),
                             "must not be below INGEST_BODY_BYTES_MAX"));
    }

    TEST_CASE("propagator: an empty probe address is a fault, a missing one is not")
    {
        const Workspace space;
        CHECK(space.load_complete(Binary::propagator, {}).faults.empty());
        CHECK(faults_contain(space.load_complete(Binary::propagator, {{"HEALTH_CHECK_ENDPOINT", ""}}),
                             "HEALTH_CHECK_ENDPOINT (environment): is set but empty"));
        CHECK(faults_contain(space.load_complete(Binary::propagator, {{"PERIOD_IN_SECONDS", ""}}),
                             "PERIOD_IN_SECONDS (environment): is required but empty"));
        CHECK(space.load(Binary::propagator, {}).faults.size() == 3);
        CHECK(space.load_complete(Binary::propagator, {}).config.propagator.period == 2s);
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
