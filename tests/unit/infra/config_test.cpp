#include "config_support.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace std::chrono_literals;
using namespace config_support;
using infra::Config;

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
            const char* taken;  // null = refused
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
            {"postgresql://u%0A@h/d%1B%20x", "postgresql://u%0A@h/d%1B%20x", "postgresql://u%0A@h/d%1B%20x"},
            {"postgresql:///d?host=/run%07", "postgresql:///d?host=/run%07", "postgresql:///d?host=/run%07"},
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
        for (const auto& url : cases) {
            CAPTURE(url.given);
            const auto loaded = space.load(Binary::migrate, {{"DATABASE_URL", url.given}});
            if (url.taken == nullptr) {
                REQUIRE(loaded.faults.size() == 1);
                CHECK(contains(loaded.faults[0], "DATABASE_URL (environment): must be a libpq URI"));
                CHECK_FALSE(contains(loaded.faults[0], "heim"));
                CHECK_FALSE(contains(infra::redacted_database_url(url.given), "heim"));
            } else {
                CHECK_MESSAGE(loaded.faults.empty(), joined(loaded.faults));
                CHECK(loaded.config.database.url == url.taken);
                CHECK(loaded.config.database.redacted_url() == url.redacted);
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

    TEST_CASE("the kinds of sinks")
    {
        const Workspace space;
        for (const char* const url :
             {"amqp://u:geheim@h/a/b", "AMQP://h", "amqp://h:0/", "amqp://h/?geheim=1"}) {
            const auto loaded = space.load_complete(Binary::worker, {{"OUTBOX_SINK", url}});
            REQUIRE(loaded.faults.size() == 1);
            CHECK(contains(loaded.faults[0], "must be log:"));
            CHECK_FALSE(contains(loaded.faults[0], "geheim"));
        }
        const auto amqp =
            space.load_complete(Binary::worker, {{"OUTBOX_SINK", "amqps://u:p@h/city?exchange=x"}});
        CHECK(amqp.faults.empty());
        CHECK(amqp.config.outbox.sink.kind == infra::SinkKind::amqp);
        CHECK(space.load_complete(Binary::worker, {{"OUTBOX_SINK", "kafka:"}}).faults ==
              std::vector<std::string>{"KAFKA_BOOTSTRAP_SERVERS: is required for the sink kafka:"});
        CHECK(space.load_complete(Binary::worker, {{"OUTBOX_SINK", "kafka:a b"}}).faults.size() == 1);
        const auto kafka = space.load_complete(
            Binary::worker, {{"OUTBOX_SINK", "kafka:city"}, {"KAFKA_BOOTSTRAP_SERVERS", "k:9092"}});
        CHECK(kafka.faults.empty());
        CHECK(kafka.config.outbox.sink.kind == infra::SinkKind::kafka);
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
