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
logging:
  level: INFO
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
