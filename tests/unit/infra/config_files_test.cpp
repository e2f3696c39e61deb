#include "config_support.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace std::chrono_literals;
using namespace config_support;

TEST_SUITE("infra/config/env_file")
{
    TEST_CASE("values are read with quotes, comments and export")
    {
        const Workspace space;
        struct Case {
            std::string line;
            const char* topic;  // of KAFKA_TOPIC
        };
        const std::vector<Case> cases{
            {"KAFKA_TOPIC=plain", "plain"},
            {"KAFKA_TOPIC=plain\r", "plain"},
            {"  export   KAFKA_TOPIC = spaced  ", "spaced"},
            {"export\tKAFKA_TOPIC=tab", "tab"},
            {"KAFKA_TOPIC='single' # comment", "single"},
            {"KAFKA_TOPIC=\"double\"#comment", "double"},
            {"KAFKA_TOPIC=bare # comment", "bare"},
            {"KAFKA_TOPIC=\"esc\\a\\\\ped\"", nullptr},  // a backslash is no topic character
            {"KAFKA_TOPIC=bare#kept", nullptr},
            {"KAFKA_TOPIC= # only a comment", "orchestrator-events"},
            {"KAFKA_TOPIC=\"\"", "orchestrator-events"},
            {"KAFKA_TOPIC=first\nKAFKA_TOPIC=last", "last"},
            {"# KAFKA_TOPIC=no\n\n   \nother.key-1=x", "orchestrator-events"},
            {"\xEF\xBB\xBFKAFKA_TOPIC=bom", "bom"},
        };
        for (const auto& file : cases) {
            CAPTURE(file.line);
            space.write(".env", file.line);
            const auto loaded = space.load_complete(Binary::api, {});
            if (file.topic == nullptr) {
                CHECK(loaded.faults.size() == 1);
            } else {
                CHECK_MESSAGE(loaded.faults.empty(), joined(loaded.faults));
                CHECK(loaded.config.kafka.topic == file.topic);
            }
        }
    }

    TEST_CASE("quotes and backslashes keep what a password needs")
    {
        const Workspace space;
        space.write(".env", "DATABASE_URL='postgresql://u:a#b$c\\d@h/d'\n");
        CHECK(space.load(Binary::api, {}).config.database.url == "postgresql://u:a#b$c\\d@h/d");
        space.write(".env", "DATABASE_URL=\"postgresql://u:a\\\"b@h/d\"\n");
        CHECK(space.load(Binary::api, {}).config.database.url == "postgresql://u:a\"b@h/d");
    }

    TEST_CASE("a malformed line is a fault with its number")
    {
        const Workspace space;
        for (const std::string line :
             {"no equals", "=x", "1A=x", "A B=x", "A='open", "A=\"open\\\"", "A='x' y", "export"}) {
            CAPTURE(line);
            space.write(".env", "\n# fine\n" + line + "\nPORT=1\n");
            const auto loaded = space.load_complete(Binary::api, {});
            REQUIRE(loaded.faults.size() == 1);
            CHECK(contains(loaded.faults[0], ".env:3: "));
            CHECK(loaded.config.http.port == 1);
        }
    }

    TEST_CASE("a named file must exist, .env need not")
    {
        const Workspace space;
        CHECK(space.load_complete(Binary::api, {}).faults.empty());
        CHECK(space.load_complete(Binary::api, {{"ENVFILE", ""}}).faults.empty());
        CHECK(faults_contain(space.load_complete(Binary::api, {{"ENVFILE", "gone.env"}}),
                             "ENVFILE = \"gone.env\": the file does not exist"));
        CHECK(faults_contain(space.load_complete(Binary::api, {{"ENVFILE", "."}}), "is a directory"));
    }
}

TEST_SUITE("infra/config/yaml")
{
    TEST_CASE("settings per service and per rule")
    {
        const Workspace space;
        space.write("polis.yaml",
                    "ingest:\n"
                    "  validation: lenient\n"
                    "  services: {health: {validation: strict}, a.b: {validation: lenient}}\n"
                    "rules:\n"
                    "  dedupe_window_seconds: 30\n"
                    "  health_emergency: {dedupe_window_seconds: 60}\n"
                    "  critical_energy_usage: {dedupe_window_seconds: 0, threshold_kwh: 750.5}\n");
        const auto loaded = space.load_complete(Binary::api, {{"CONFIG_PATH", "polis.yaml"}});
        REQUIRE_MESSAGE(loaded.faults.empty(), joined(loaded.faults));
        const auto& ingest = loaded.config.ingest;
        CHECK(ingest.validation_of("health") == infra::Validation::strict);
        CHECK(ingest.validation_of("a.b") == infra::Validation::lenient);
        CHECK(ingest.validation_of("energy") == infra::Validation::lenient);
        const auto& rules = loaded.config.rules;
        CHECK(rules.dedupe_window_of("health_emergency") == 60s);
        CHECK(rules.dedupe_window_of("critical_energy_usage") == 0s);
        CHECK(rules.dedupe_window_of("other") == 30s);
        CHECK(rules.energy_threshold_kwh == 750.5);
    }

    TEST_CASE("what the file must not contain")
    {
        const Workspace space;
        struct Case {
            std::string yaml;
            std::string fault;
        };
        const std::vector<Case> cases{
            {"prot: 1\n", "polis.yaml:1: unknown key \"prot\""},
            {"http:\n  prot: 1\n", "polis.yaml:2: unknown key \"http.prot\"; did you mean port?"},
            {"rules: {health: {threshold_kwh: 1}}\n", "unknown key \"rules.health.threshold_kwh\""},
            {"rules: {dedupe_windw_seconds: 1}\n", "did you mean dedupe_window_seconds?"},
            {"ingest: {services: {health: {validation: hard}}}\n",
             "ingest.services.health.validation = \"hard\" (polis.yaml:1): must be lenient or strict"},
            {"ingest: {services: {'a b': {validation: strict}}}\n", "\"a b\" is not a service name"},
            {"ingest: {services: {health: strict}}\n", "must be a map of keys"},
            {"http: 5\n", "\"http\" must be a map of keys"},
            {"http: {port: [1]}\n", "\"http.port\" must be a single value"},
            {"http: {port: 1, port: 2}\n", "\"http.port\" is repeated"},
            {"[1]: 2\n", "a key must be plain text"},
            {"- 1\n", "the file must be a map of keys"},
            {"http: {port: 1\n", "not valid YAML"},
            {"\tx: 1\n", "not valid YAML"},
        };
        for (const auto& file : cases) {
            CAPTURE(file.yaml);
            space.write("polis.yaml", file.yaml);
            const auto loaded = space.load_complete(Binary::api, {{"CONFIG_PATH", "polis.yaml"}});
            const bool found = faults_contain(loaded, file.fault);
            CHECK_MESSAGE(found, joined(loaded.faults));
        }
    }

    TEST_CASE("empty files, groups and values are fine")
    {
        const Workspace space;
        for (const char* const yaml :
             {"", "# nothing\n", "http:\n", "http: {port: }\n", "http: {port: ~}\n", "{}"}) {
            space.write("polis.yaml", yaml);
            const auto loaded = space.load_complete(Binary::api, {{"CONFIG_PATH", "polis.yaml"}});
            CHECK_MESSAGE(loaded.faults.empty(), joined(loaded.faults));
            CHECK(loaded.config.http.port == 8000);
        }
    }

    TEST_CASE("the names of rules are checked when they are known")
    {
        const Workspace space;
        space.write("polis.yaml", "rules: {health_emergenci: {dedupe_window_seconds: 1}}\n");
        auto sources = space.sources({{"DATABASE_URL", database_url}, {"CONFIG_PATH", "polis.yaml"}});
        CHECK(infra::load_config(Binary::api, sources).faults.empty());
        sources.rule_names = {"health_emergency", "critical_energy_usage"};
        CHECK(faults_contain(infra::load_config(Binary::api, sources), "did you mean health_emergency?"));
    }

    TEST_CASE("a file that cannot be read is a fault")
    {
        const Workspace space;
        CHECK(faults_contain(space.load_complete(Binary::api, {{"CONFIG_PATH", "gone.yaml"}}),
                             "CONFIG_PATH = \"gone.yaml\" (environment): the file does not exist"));
        CHECK(faults_contain(space.load_complete(Binary::api, {{"CONFIG_PATH", "."}}), "is a directory"));
        space.write("large.yaml", std::string(1024 * 1024 + 1, '#'));
        CHECK(faults_contain(space.load_complete(Binary::api, {{"CONFIG_PATH", "large.yaml"}}),
                             "larger than 1 MiB"));
        CHECK(faults_contain(space.load_complete(Binary::api, {{"CONFIG_PATH", "/dev/zero"}}),
                             "larger than 1 MiB"));
    }
}
