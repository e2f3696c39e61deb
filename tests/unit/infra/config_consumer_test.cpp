#include "unit/infra/config_support.hpp"

#include <doctest/doctest.h>

using config_support::contains;
using config_support::database_url;
using config_support::joined;
using config_support::Workspace;
using infra::Binary;

namespace {

// The file of the system that Polis replaces, with its keys.
constexpr auto older_file = R"(
name: Base scenarios
logging:
  level: INFO
  files:
    - filename: logs/info.log
      level: INFO
    - filename: logs/error.log
      level: ERROR
    - filename: logs/all.log
fileserver:
  url: http://files.example
  bucket: cadastre
  cadastre_path: a/b.pickle
  access_key: somebody
  secret_key: geheim
urban_api:
  host: urban.example
  auth:
    auth_server_url: https://id.example
    realm: city
    client_id: conductor
    client_secret: geheim
    scope: null
    request_timeout_seconds: 10
    refresh_before_expiry_seconds: 30
    background_refresh: true
  ping_timeout_seconds: 2
  operation_timeout_seconds: 60
prometheus:
  port: 9100
  disable: true
broker:
  client_id: scenarios-conductor
  group_id: scenarios-conductor-group
  bootstrap_servers: "a:1,b:2"
  schema_registry_url: http://localhost:8081
  auto_offset_reset: latest
  enable_auto_commit: false
kafka:
  topics:
    scenario.events: "record:"
    city.energy: energy
    city.any: header:ce_type
  services:
    scenario.events.projects.ProjectCreated: projects
  properties:
    session.timeout.ms: 6000
    ssl.key.location: /etc/key
)";

}  // namespace

TEST_SUITE("infra/config")
{
    TEST_CASE("the consumer reads the older system's file, and its own keys")
    {
        const Workspace space;
        space.write("polis.yaml", older_file);
        const auto loaded =
            space.load(Binary::consumer, {{"CONFIG_PATH", "polis.yaml"}, {"DATABASE_URL", database_url}});
        CHECK_MESSAGE(loaded.faults.empty(), joined(loaded.faults));
        const auto& kafka = loaded.config.kafka;
        const auto& log = loaded.config.log;
        CHECK(log.name == "Base scenarios");
        REQUIRE(log.files.size() == 3);
        CHECK(log.files.at("0").path == "logs/info.log");
        CHECK(log.files.at("0").level == infra::LogLevel::info);
        CHECK(log.files.at("1").level == infra::LogLevel::error);
        CHECK(log.files.at("2").path == "logs/all.log");
        CHECK_FALSE(log.files.at("2").level.has_value());
        CHECK(loaded.config.admin.port == 9100);
        CHECK(loaded.config.admin.disabled);
        CHECK(kafka.client_id == "scenarios-conductor");
        CHECK(kafka.group_id == "scenarios-conductor-group");
        CHECK(kafka.bootstrap_servers == "a:1,b:2");
        CHECK(kafka.schema_registry_url == "http://localhost:8081");
        CHECK(kafka.offset_reset == infra::OffsetReset::latest);
        CHECK(kafka.topics.size() == 3);
        CHECK(kafka.topics.at("scenario.events") == "record:");
        CHECK(kafka.services.at("scenario.events.projects.ProjectCreated") == "projects");
        CHECK(kafka.properties.at("session.timeout.ms") == "6000");
    }

    TEST_CASE("what a consumer cannot work with is told")
    {
        const Workspace space;
        const std::pair<std::string, std::string> cases[] = {
            {"kafka:\n  topics:\n    \"a b\": energy\n", "topic name"},
            {"kafka:\n  topics:\n    a: \"header:\"\n", "must be a service name"},
            {"kafka:\n  services:\n    a: b c\n", "must be a service name"},
            {"kafka:\n  properties:\n    group.id: x\n", "is set by Polis itself"},
            {"kafka:\n  properties:\n    no.such: geheim\n", "must be a property of librdkafka"},
            {"broker:\n  enable_auto_commit: true\n", "must be false"},
            {"broker:\n  group: x\n", "unknown key"},
            {"logging:\n  files:\n    - level: INFO\n", "must stand beside a filename"},
            {"logging:\n  files:\n    - filename: a\n      level: LOUD\n", "must be trace, debug"},
            {"logging:\n  files:\n    - filename: a\n      size: 1\n", "unknown key"},
            {"logging:\n  files: [a.log]\n", "must be a map"},
            {"prometheus:\n  - port: 1\n", "must be a map"},
            {"fileserver:\n  user: x\n", "unknown key"},
            {"name: \"a\\x1bb\"\n", "without control characters"},
            {"urban_api: {ping_timeout_seconds: soon}\n", "must be 0 to 3600 seconds"},
        };
        for (const auto& entry : cases) {
            const auto& [text, fault] = entry;
            CAPTURE(entry.first);
            space.write("polis.yaml", text);
            const auto loaded = space.load_complete(Binary::consumer, {{"CONFIG_PATH", "polis.yaml"}});
            CHECK_MESSAGE(contains(joined(loaded.faults), fault), joined(loaded.faults));
            CHECK_FALSE(contains(joined(loaded.faults), "geheim"));
        }
        const auto nothing = space.load(Binary::consumer, {{"DATABASE_URL", database_url}});
        CHECK(contains(joined(nothing.faults), "KAFKA_BOOTSTRAP_SERVERS"));
        CHECK(contains(joined(nothing.faults), "KAFKA_TOPICS"));
        const auto list = space.load_complete(Binary::consumer, {{"KAFKA_TOPICS", "a=x, b=record:"}});
        CHECK(list.config.kafka.topics.size() == 2);
        CHECK(contains(joined(space.load_complete(Binary::consumer, {{"KAFKA_TOPICS", "a"}}).faults),
                       "TOPIC=ROUTE"));
    }
}
