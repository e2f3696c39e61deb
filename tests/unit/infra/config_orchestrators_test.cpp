#include "unit/infra/config_support.hpp"

#include <doctest/doctest.h>

using config_support::contains;
using config_support::database_url;
using config_support::joined;
using config_support::Workspace;
using infra::Binary;

namespace {

// As the older system's file has it.
constexpr auto older_file = R"(
urban_api:
  host: urban.example:5300/
  auth:
    auth_server_url: https://login.example/auth/
    realm: city
    client_id: conductor
    client_secret: geheim
    scope: null
    request_timeout_seconds: 7
    refresh_before_expiry_seconds: 20
    background_refresh: true
  ping_timeout_seconds: 2
  operation_timeout_seconds: 45
)";

infra::Loaded worker(config_support::Environment env)
{
    env["DATABASE_URL"] = database_url;
    return Workspace().load(Binary::worker, std::move(env));
}

}  // namespace

TEST_SUITE("infra/config")
{
    TEST_CASE("the services of tasks are endpoints")
    {
        const auto loaded =
            worker({{"REVENUE_SERVICE_URL", "http://localhost:1/r"}, {"SERVICE_TIMEOUT_SECONDS", "2"}});
        CHECK_MESSAGE(loaded.faults.empty(), joined(loaded.faults));
        const auto& endpoints = loaded.config.workflows.endpoints;
        REQUIRE(endpoints.size() == 3);
        CHECK(endpoints.at("revenue").url == "http://localhost:1/r");
        CHECK(endpoints.at("rebates").url == "http://rebates-service:8002/rebates");
        CHECK(endpoints.at("specialty").timeout == std::chrono::seconds(2));
        CHECK(loaded.config.outbox.subscriptions.empty());
        CHECK(worker({}).config.workflows.endpoints.at("revenue").timeout == std::chrono::seconds(30));
    }

    TEST_CASE("in the mode kafka the worker sends tasks to the topic, and the consumer reads it")
    {
        const auto sending = worker({{"EVENT_HUB_MODE", "kafka"}, {"KAFKA_BOOTSTRAP_SERVERS", "k:1"}});
        CHECK_MESSAGE(sending.faults.empty(), joined(sending.faults));
        CHECK(sending.config.outbox.subscriptions.at("hub").at("sink") == "kafka:orchestrator-events");
        CHECK(joined(worker({{"EVENT_HUB_MODE", "kafka"}}).faults).starts_with("KAFKA_BOOTSTRAP_SERVERS"));

        const auto reading = Workspace().load(Binary::consumer, {{"DATABASE_URL", database_url},
                                                                 {"KAFKA_BOOTSTRAP_SERVERS", "k:1"},
                                                                 {"USE_KAFKA", "true"},
                                                                 {"KAFKA_TOPIC", "tasks"}});
        CHECK_MESSAGE(reading.faults.empty(), joined(reading.faults));
        CHECK(reading.config.kafka.topics.at("tasks") == "task.queued");
    }

    TEST_CASE("in the mode amqp the worker sends tasks to the queue, and the consumer reads it")
    {
        const config_support::Environment hub{{"EVENT_HUB_MODE", "amqp"},
                                              {"EVENT_HUB_URL", "amqp://u:geheim@rabbit/city"},
                                              {"EVENT_HUB_NAME", "tasks"},
                                              {"DATABASE_URL", database_url}};
        const auto sending = worker(hub);
        CHECK_MESSAGE(sending.faults.empty(), joined(sending.faults));
        const auto& subscription = sending.config.outbox.subscriptions.at("hub");
        CHECK(subscription.at("sink") == "amqp://u:geheim@rabbit/city?queue=tasks");
        CHECK(infra::parse_sink(std::string(subscription.at("sink").as_string()))->kind ==
              infra::SinkKind::amqp);

        const auto reading = Workspace().load(Binary::consumer, hub);
        CHECK_MESSAGE(reading.faults.empty(), joined(reading.faults));
        CHECK(reading.config.kafka.topics.empty());
        CHECK(reading.config.event_hub.queue == "tasks");

        auto both = hub;
        both["KAFKA_TOPICS"] = "city=city";
        CHECK(joined(Workspace().load(Binary::consumer, both).faults).starts_with("KAFKA_BOOTSTRAP_SERVERS"));
    }

    TEST_CASE("the mode amqp needs a broker's URL, and no fault shows its password")
    {
        for (const auto binary : {Binary::worker, Binary::consumer}) {
            const auto none =
                Workspace().load(binary, {{"EVENT_HUB_MODE", "amqp"}, {"DATABASE_URL", database_url}});
            CHECK(none.faults ==
                  std::vector<std::string>{"EVENT_HUB_URL: is required for EVENT_HUB_MODE=amqp"});
            for (const char* const url :
                 {"http://u:geheim@h/", "amqp://u:geheim@h/a/b", "amqp://u:geheim@h/?queue=x"}) {
                const auto odd = Workspace().load(
                    binary,
                    {{"EVENT_HUB_MODE", "amqp"}, {"EVENT_HUB_URL", url}, {"DATABASE_URL", database_url}});
                REQUIRE(!odd.faults.empty());
                CHECK(contains(odd.faults[0], "must be a URL amqp[s]://"));
                CHECK(!contains(joined(odd.faults), "geheim"));
            }
        }
        // The api only tells the mode.
        const auto telling =
            Workspace().load(Binary::api, {{"EVENT_HUB_MODE", "amqp"}, {"DATABASE_URL", database_url}});
        CHECK_MESSAGE(telling.faults.empty(), joined(telling.faults));
    }

    TEST_CASE("a sink's queue excludes an exchange and a routing key")
    {
        CHECK(infra::parse_sink("amqp://h/?queue=q"));
        CHECK(!infra::parse_sink("amqp://h/?queue=q&exchange=x"));
        CHECK(!infra::parse_sink("amqp://h/?queue=q&routing_key=k"));
    }

    TEST_CASE("the Urban API is an endpoint once it has a URL, with a token or a server of tokens")
    {
        const auto simple = worker({{"URBAN_API_URL", "urban/"}, {"URBAN_API_TOKEN", "geheim"}});
        CHECK_MESSAGE(simple.faults.empty(), joined(simple.faults));
        const auto& urban = simple.config.workflows.endpoints.at("urban");
        CHECK(urban.url == "http://urban");
        CHECK(urban.bearer.token == "geheim");
        CHECK(urban.timeout == std::chrono::minutes(1));

        const Workspace space;
        space.write("polis.yaml", older_file);
        const auto older =
            space.load(Binary::worker, {{"CONFIG_PATH", "polis.yaml"}, {"DATABASE_URL", database_url}});
        CHECK_MESSAGE(older.faults.empty(), joined(older.faults));
        const auto& endpoint = older.config.workflows.endpoints.at("urban");
        CHECK(endpoint.url == "http://urban.example:5300");
        CHECK(endpoint.timeout == std::chrono::seconds(45));
        CHECK(endpoint.bearer.token_url ==
              "https://login.example/auth/realms/city/protocol/openid-connect/token");
        CHECK(endpoint.bearer.scope.empty());
        CHECK(endpoint.bearer.refresh_before == std::chrono::seconds(20));
    }

    TEST_CASE("half a way to a token is a fault that shows no secret")
    {
        const auto both = worker({{"URBAN_API_URL", "http://u"},
                                  {"URBAN_API_TOKEN", "geheim"},
                                  {"URBAN_API_AUTH_URL", "http://login"}});
        CHECK(contains(joined(both.faults), "either a token or URBAN_API_AUTH_URL"));
        const auto half = worker({{"URBAN_API_AUTH_URL", "http://login"}, {"URBAN_API_CLIENT_ID", "c"}});
        CHECK(contains(joined(half.faults), "URBAN_API_CLIENT_SECRET"));
        const auto odd = worker({{"URBAN_API_TOKEN", "geheim geheim"}});
        REQUIRE(odd.faults.size() == 1);
        CHECK(!contains(odd.faults.front(), "geheim"));
    }
}
