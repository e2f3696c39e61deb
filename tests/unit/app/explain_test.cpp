#include "app/explain.hpp"

#include <boost/json.hpp>
#include <doctest/doctest.h>

TEST_SUITE("app/explain")
{
    namespace {

    struct Fixture {
        explicit Fixture(app::IngestPolicy wanted = {}) : prepare(registry, std::move(wanted))
        {
            domain::register_builtin_services(registry);
        }

        boost::json::object of(std::string_view service, std::string_view text, bool stored = true)
        {
            const auto told = app::explain(prepare, registry, service, domain::parse_json(text), {});
            CHECK(told.stored == stored);
            return boost::json::parse(told.json).as_object();
        }

        domain::ServiceRegistry registry;
        app::PrepareEvent prepare;
    };

    }  // namespace

    TEST_CASE("what rules would derive, and for how long its key suppresses")
    {
        Fixture fixture;
        const auto told = fixture.of("energy", R"({"energy": "650", "neighborhood": "north"})");
        CHECK(told.at("would") == "store");
        CHECK(told.at("known_service") == true);
        CHECK(told.at("normalized_payload") ==
              boost::json::parse(R"({"energy": 650.0, "neighborhood": "north"})"));
        CHECK(told.at("topics") == boost::json::parse(R"(["event.security"])"));
        const auto& derived = told.at("derived_events").at(0).as_object();
        CHECK(derived.at("deduplication_key") == "critical_energy_usage_north");
        CHECK(derived.at("suppression_window_seconds").to_number<double>() == 300);
        CHECK(derived.at("payload").at("alert") == "possible_risk");
    }

    TEST_CASE("an incomplete key suppresses nothing, and an unknown service passes")
    {
        Fixture fixture;
        const auto told = fixture.of("energy", R"({"energy": 650})");
        CHECK(told.at("derived_events").at(0).at("suppression_window_seconds").to_number<double>() == 0);
        const auto other = fixture.of("parks", R"({"big": 9007199254740993})");
        CHECK(other.at("known_service") == false);
        CHECK(other.at("normalized_payload").at("big").as_int64() == 9007199254740993);
        CHECK(other.at("derived_events").as_array().empty());
    }

    TEST_CASE("what would be refused, and why")
    {
        Fixture lenient;
        CHECK(lenient.of("energy", R"({"energy": "x"})").at("validation_errors").at(0).at("field") ==
              "energy");
        CHECK(lenient.of("energy", "[1]", false).at("status") == 422);
        CHECK(lenient.of("energy", "{", false).at("would") == "refuse");
        CHECK(lenient.of("no/name", "{}", false).at("status") == 422);
        Fixture strict({.reject_unknown_services = true, .strict = [](std::string_view) { return true; }});
        CHECK(strict.of("parks", "{}", false).at("status") == 404);
        CHECK(strict.of("energy", R"({"energy": "x"})", false).at("errors").at(0).at("field") == "energy");
    }

    TEST_CASE("base events are messages where they are published")
    {
        Fixture fixture({.publish_base_events = true});
        CHECK(fixture.of("parks", "{}").at("topics") == boost::json::parse(R"(["event.parks"])"));
    }
}
