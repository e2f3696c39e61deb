#include "domain/service_registry.hpp"

#include <boost/json/value.hpp>
#include <doctest/doctest.h>

#include <stdexcept>
#include <string>
#include <vector>

TEST_SUITE("domain/service_registry")
{
    namespace {

    domain::Service plain_service(const domain::RuleSettings&)
    {
        return {domain::declared_fields({}), domain::no_rules()};
    }

    }  // namespace

    TEST_CASE("Polis's own services are these")
    {
        domain::ServiceRegistry registry;
        domain::register_builtin_services(registry);
        CHECK(registry.names() == std::vector<std::string>{"energy", "health", "security", "transport"});
        for (const auto& name : registry.names()) {
            CAPTURE(name);
            REQUIRE(registry.find(name) != nullptr);
            CHECK(&registry.find_or_pass_through(name) == registry.find(name));
        }
    }

    TEST_CASE("every other name is passed through by one service without fields and rules")
    {
        domain::ServiceRegistry registry;
        registry.add("water", plain_service);
        CHECK(registry.find("wate") == nullptr);
        CHECK(registry.find("water ") == nullptr);
        CHECK(registry.find("Water") == nullptr);
        CHECK(registry.find("") == nullptr);
        const auto& pass_through = registry.find_or_pass_through("wind");
        CHECK(&pass_through == &registry.find_or_pass_through("sun"));
        CHECK(&pass_through != registry.find("water"));

        const boost::json::object payload{{"alert", "emergency"}, {"energy", "x"}};
        const auto normalized = pass_through.normalizer->normalize(payload);
        CHECK(normalized.patch.empty());
        CHECK(normalized.errors.empty());
        CHECK(pass_through.rules->evaluate({payload, normalized.patch}).empty());
    }

    TEST_CASE("a registry has only what was added, and hands its settings to the factory")
    {
        domain::ServiceRegistry registry({.energy_threshold_kwh = 7.5});
        CHECK(registry.names().empty());
        double seen = 0;
        registry.add("meter", [&seen](const domain::RuleSettings& settings) {
            seen = settings.energy_threshold_kwh;
            return plain_service(settings);
        });
        CHECK(seen == 7.5);
        CHECK(registry.names() == std::vector<std::string>{"meter"});
        CHECK(registry.find("meter") != nullptr);
        CHECK(registry.find("energy") == nullptr);
    }

    TEST_CASE("a name is registered once, and the first stays")
    {
        domain::ServiceRegistry registry;
        registry.add("water", plain_service);
        const auto* first = registry.find("water");
        CHECK_THROWS_WITH_AS(registry.add("water", plain_service), "service registered twice: water",
                             std::logic_error);
        CHECK(registry.find("water") == first);
        CHECK_THROWS_WITH_AS(registry.add("wa ter", plain_service), "not a service name: wa ter",
                             std::logic_error);
        CHECK(registry.names() == std::vector<std::string>{"water"});
    }

    TEST_CASE("a service name is 1 to 100 of A-Z a-z 0-9 . _ -")
    {
        struct Row {
            std::string name;
            bool valid;
        };
        const Row rows[] = {
            {"health", true},
            {"a", true},
            {"7", true},
            {"-", true},
            {"_", true},
            {"...", true},
            {".a", true},
            {"A.b_c-9", true},
            {std::string(100, 'x'), true},
            {std::string(101, 'x'), false},
            {"", false},
            {".", false},
            {"..", false},
            {"a b", false},
            {" a", false},
            {"a/b", false},
            {"a\\b", false},
            {"a:b", false},
            {"a%20b", false},
            {"a+b", false},
            {"a@b", false},
            {"a`b", false},
            {"a[b", false},
            {"a{b", false},
            {"caf\xC3\xA9", false},
            {std::string("a\0b", 3), false},
            {"a\n", false},
        };
        for (const Row& row : rows) {
            CAPTURE(row.name);
            CHECK(domain::valid_service_name(row.name) == row.valid);
        }
    }
}
