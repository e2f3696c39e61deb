#include "app/ingest.hpp"
#include "domain/service_registry.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

TEST_SUITE("app/ingest: preparation")
{
    using app::Envelope;
    using app::IngestPolicy;
    using namespace std::chrono_literals;

    namespace {

    // The parsed document points into the text of the caller.
    domain::Result<domain::PreparedEvent> prepare(std::string_view service, std::string_view text,
                                                  IngestPolicy policy = {}, Envelope envelope = {})
    {
        domain::ServiceRegistry registry;
        domain::register_builtin_services(registry);
        const app::PrepareEvent prepare_event(registry, std::move(policy));
        return prepare_event.prepare(service, domain::parse_json(text).value(), std::move(envelope));
    }

    IngestPolicy strict_for(std::string name)
    {
        IngestPolicy policy;
        policy.strict = [name = std::move(name)](std::string_view service) { return service == name; };
        return policy;
    }

    }  // namespace

    TEST_CASE("the payload keeps its exact text, and the patch holds what normalisation changes")
    {
        struct Row {
            std::string service;
            std::string text;
            std::string patch;
        };
        const Row rows[] = {
            {"energy", R"({ "energy" : 300.00, "neighborhood":"x", "big":1e2 })", ""},
            {"energy", R"({"energy":"300","neighborhood":"x"})", R"({"energy":300.0})"},
            {"energy", R"({"energy":1})", R"({"energy":1.0,"neighborhood":null})"},
            {"transport", R"({})", R"({"bus_id":null,"lat":null,"lon":null})"},
            {"parking", R"({})", ""},
            {"parking", R"({"energy":"600"})", ""},
        };
        for (const Row& row : rows) {
            CAPTURE(row.text);
            const auto event = prepare(row.service, row.text);
            REQUIRE(event.has_value());
            CHECK(event->service == row.service);
            CHECK(event->payload == row.text);
            CHECK(event->patch == row.patch);
            CHECK(event->validation_errors.empty());
            CHECK(event->derived.empty());
            CHECK_FALSE(event->publish_base);
            CHECK_FALSE(event->occurred_at.has_value());
        }
    }

    TEST_CASE("derived events are prepared with payload, key, digest and window")
    {
        IngestPolicy policy;
        policy.dedupe_window = [](std::string_view rule) {
            return rule == "health_emergency" ? std::chrono::milliseconds{7s} : std::chrono::milliseconds{9s};
        };
        const auto health = prepare("health", R"({"alert":"emergency","patient_id":"12"})", policy);
        REQUIRE(health.has_value());
        REQUIRE(health->derived.size() == 2);
        const auto& transport = health->derived[0];
        CHECK(transport.service == "transport");
        CHECK(
            transport.payload ==
            R"({"action":"dispatch_nearest_vehicle","reason":"health_emergency","location":null,"patient_id":12})");
        CHECK(transport.key == "health_emergency_12");
        CHECK(transport.digest == domain::key_digest("transport", "health_emergency_12"));
        CHECK(transport.dedupe_window == 7s);
        CHECK(health->derived[1].service == "security");
        CHECK(health->derived[1].digest == domain::key_digest("security", "health_emergency_12"));
        CHECK(health->derived[1].dedupe_window == 7s);

        const auto energy = prepare("energy", R"({"energy":600,"neighborhood":"x"})", policy);
        REQUIRE(energy.has_value());
        REQUIRE(energy->derived.size() == 1);
        CHECK(
            energy->derived[0].payload ==
            R"({"alert":"possible_risk","reason":"critical_energy_usage","neighborhood":"x","energy":600.0})");
        CHECK(energy->derived[0].dedupe_window == 9s);
    }

    TEST_CASE("the window is 300 s by default, and nothing for a key with a missing part")
    {
        const auto whole = prepare("health", R"({"alert":"emergency","patient_id":1})");
        REQUIRE(whole.has_value());
        for (const auto& derived : whole->derived) CHECK(derived.dedupe_window == 300s);
        const auto missing = prepare("health", R"({"alert":"emergency"})");
        REQUIRE(missing.has_value());
        CHECK(missing->derived.size() == 2);
        for (const auto& derived : missing->derived) {
            CHECK(derived.dedupe_window == 0s);
            CHECK(derived.key == "health_emergency_None");
        }
    }

    TEST_CASE("lenient: a payload of the wrong types is stored raw, with its errors, and rules read it raw")
    {
        const auto event = prepare("energy", R"({"energy":600,"neighborhood":5})");
        REQUIRE(event.has_value());
        CHECK(event->patch.empty());
        CHECK(event->validation_errors == R"([{"field":"neighborhood","message":"must be a string"}])");
        REQUIRE(event->derived.size() == 1);
        CHECK(event->derived[0].key == "critical_energy_usage_5");
        CHECK(event->derived[0].payload ==
              R"({"alert":"possible_risk","reason":"critical_energy_usage","neighborhood":5,"energy":600})");

        const auto unreadable = prepare("energy", R"({"energy":"x"})");
        REQUIRE(unreadable.has_value());
        CHECK(unreadable->validation_errors == R"([{"field":"energy","message":"must be a number"}])");
        CHECK(unreadable->derived.empty());
    }

    TEST_CASE("strict: such a payload is refused with all of its errors, in that service alone")
    {
        const auto refused = prepare("energy", R"({"energy":"x","neighborhood":5})", strict_for("energy"));
        REQUIRE_FALSE(refused.has_value());
        CHECK(refused.error().detail == "the payload does not match the fields of this service");
        CHECK(refused.error().fields ==
              std::vector<domain::FieldError>{{"energy", "must be a number"},
                                              {"neighborhood", "must be a string"}});
        CHECK(prepare("energy", R"({"energy":"600"})", strict_for("energy")).has_value());
        CHECK(prepare("health", R"({"alert":5})", strict_for("energy")).has_value());
    }

    TEST_CASE("only an object is an event")
    {
        for (const std::string_view text : {"[]", "[{}]", "null", "true", "12", "1.5", "\"{}\""}) {
            CAPTURE(text);
            const auto event = prepare("health", text);
            REQUIRE_FALSE(event.has_value());
            CHECK(event.error().detail == "the event must be a JSON object");
            CHECK(event.error().fields.empty());
        }
    }

    TEST_CASE("the request key has a digest with its service, and at most 512 bytes")
    {
        CHECK(app::request_key_bytes_max == 512);
        const auto event = prepare("health", "{}", {}, {"req-1"});
        REQUIRE(event.has_value());
        CHECK(event->request_key == "req-1");
        CHECK(event->request_digest == domain::key_digest("health", "req-1"));
        CHECK(prepare("health", "{}", {}, {std::string(512, 'k')}).has_value());

        const auto too_long = prepare("health", "{}", {}, {std::string(513, 'k')});
        REQUIRE_FALSE(too_long.has_value());
        CHECK(too_long.error().detail == "the dedupe key is longer than 512 bytes");

        const auto without = prepare("health", "{}");
        REQUIRE(without.has_value());
        CHECK(without->request_key.empty());
    }

    TEST_CASE("the envelope's time and the policy on base events are handed on")
    {
        IngestPolicy policy;
        policy.publish_base_events = true;
        const domain::TimePoint time{1'700'000'000'000'001us};
        const auto event = prepare("health", "{}", policy, {"", time});
        REQUIRE(event.has_value());
        CHECK(event->publish_base);
        CHECK(event->occurred_at == time);
    }

    TEST_CASE("unknown services are known unless the policy rejects them")
    {
        struct Row {
            bool reject;
            std::string service;
            bool known;
        };
        const Row rows[] = {
            {false, "health", true},  {false, "parking", true}, {true, "health", true},
            {true, "parking", false}, {true, "Health", false},
        };
        domain::ServiceRegistry registry;
        domain::register_builtin_services(registry);
        for (const Row& row : rows) {
            CAPTURE(row.service);
            CAPTURE(row.reject);
            IngestPolicy policy;
            policy.reject_unknown_services = row.reject;
            CHECK(app::PrepareEvent(registry, policy).knows(row.service) == row.known);
        }
    }
}
