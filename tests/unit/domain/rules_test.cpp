#include "domain/service.hpp"
#include "domain/service_registry.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <vector>

TEST_SUITE("domain/rules")
{
    namespace json = boost::json;

    namespace {

    std::vector<domain::DerivedEvent> derived_from(std::string_view service, const std::string& payload_text,
                                                   domain::RuleSettings settings = {})
    {
        domain::ServiceRegistry registry(settings);
        domain::register_builtin_services(registry);
        const auto& handler = registry.find_or_pass_through(service);
        const auto payload = json::parse(payload_text).as_object();
        const auto normalized = handler.normalizer->normalize(payload);
        return handler.rules->evaluate({payload, normalized.patch});
    }

    // The JSON texts of what the energy rule derived: one or none.
    std::string energy_alert(const std::string& payload, domain::RuleSettings settings = {})
    {
        const auto derived = derived_from("energy", payload, settings);
        if (derived.empty()) return "none";
        REQUIRE(derived.size() == 1);
        CHECK(derived[0].service == "security");
        CHECK(derived[0].rule == "critical_energy_usage");
        return domain::json_text(derived[0].payload);
    }

    std::string alert_text(const std::string& neighborhood, const std::string& energy)
    {
        return R"({"alert":"possible_risk","reason":"critical_energy_usage","neighborhood":)" + neighborhood +
               R"(,"energy":)" + energy + "}";
    }

    }  // namespace

    TEST_CASE("energy: usage over 500 is a possible risk")
    {
        struct Row {
            std::string payload;
            std::string alert;
        };
        const Row rows[] = {
            {R"({"energy":400,"neighborhood":"downtown"})", "none"},
            {R"({"energy":500,"neighborhood":"downtown"})", "none"},
            {R"({"energy":500.0,"neighborhood":"downtown"})", "none"},
            {R"({"energy":"500.0"})", "none"},
            {R"({"energy":499.99999999999994})", "none"},
            {R"({"energy":500.00000000000006,"neighborhood":"x"})",
             alert_text(R"("x")", "500.00000000000006")},
            {R"({"energy":501,"neighborhood":"x"})", alert_text(R"("x")", "501.0")},
            {R"({"energy":600.0,"neighborhood":"downtown"})", alert_text(R"("downtown")", "600.0")},
            {R"({"energy":"600","neighborhood":"downtown"})", alert_text(R"("downtown")", "600.0")},
            {R"({"energy":1e308})", alert_text("null", "1e+308")},
            {R"({"energy":18446744073709551615})", alert_text("null", "1.8446744073709552e+19")},
            {R"({"energy":-600})", "none"},
            {R"({"energy":600})", alert_text("null", "600.0")},
            {R"({"energy":600,"neighborhood":null})", alert_text("null", "600.0")},
            {R"({"energy":600,"neighborhood":""})", alert_text(R"("")", "600.0")},
            {R"({"energy":null})", "none"},
            {R"({})", "none"},
            {R"({"energy":true})", "none"},
            // Fallback: the rule sees raw values and fires on what it can read.
            {R"({"energy":600,"neighborhood":5})", alert_text("5", "600")},
            {R"({"energy":600.5,"neighborhood":["a"]})", alert_text(R"(["a"])", "600.5")},
            {R"({"energy":500,"neighborhood":5})", "none"},
            {R"({"energy":"600","neighborhood":5})", "none"},
            {R"({"energy":true,"neighborhood":5})", "none"},
            {R"({"energy":"not_a_number"})", "none"},
            {R"({"energy":[600]})", "none"},
            {R"({"energy":{"a":600}})", "none"},
        };
        for (const Row& row : rows) {
            CAPTURE(row.payload);
            CHECK(energy_alert(row.payload) == row.alert);
        }
    }

    TEST_CASE("energy: the threshold is a setting")
    {
        const domain::RuleSettings settings{.energy_threshold_kwh = 0.5};
        CHECK(energy_alert(R"({"energy":0.5})", settings) == "none");
        CHECK(energy_alert(R"({"energy":0.50001})", settings) == alert_text("null", "0.50001"));
        CHECK(energy_alert(R"({"energy":true})", settings) == alert_text("null", "1.0"));
    }

    TEST_CASE("health: an emergency sends a vehicle, then clears the way")
    {
        struct Row {
            std::string payload;
            std::string location;
            std::string patient;
        };
        const Row rows[] = {
            {R"({"patient_id":123,"alert":"emergency","location":"north"})", R"("north")", "123"},
            {R"({"patient_id":"123","alert":"emergency"})", "null", "123"},
            {R"({"alert":"emergency"})", "null", "null"},
            {R"({"alert":"emergency","patient_id":null,"location":null})", "null", "null"},
            {R"({"alert":"emergency","patient_id":0})", "null", "0"},
            // Fallback.
            {R"({"patient_id":"abc","alert":"emergency"})", "null", R"("abc")"},
            {R"({"patient_id":12.5,"alert":"emergency","location":7})", "7", "12.5"},
            {R"({"patient_id":{"a":[1]},"alert":"emergency"})", "null", R"({"a":[1]})"},
        };
        for (const Row& row : rows) {
            CAPTURE(row.payload);
            const auto derived = derived_from("health", row.payload);
            REQUIRE(derived.size() == 2);
            CHECK(derived[0].service == "transport");
            CHECK(domain::json_text(derived[0].payload) ==
                  R"({"action":"dispatch_nearest_vehicle","reason":"health_emergency","location":)" +
                      row.location + R"(,"patient_id":)" + row.patient + "}");
            CHECK(derived[1].service == "security");
            CHECK(domain::json_text(derived[1].payload) ==
                  R"({"priority":"high","action":"escort_and_clear_traffic","reason":"health_emergency",)"
                  R"("location":)" +
                      row.location + R"(,"patient_id":)" + row.patient + "}");
            for (const auto& event : derived) CHECK(event.rule == "health_emergency");
        }
    }

    TEST_CASE("health: only the exact word is an emergency")
    {
        const std::string rows[] = {
            R"({})",
            R"({"alert":null})",
            R"({"alert":"routine","patient_id":1})",
            R"({"alert":"Emergency"})",
            R"({"alert":"EMERGENCY"})",
            R"({"alert":" emergency"})",
            R"({"alert":"emergency "})",
            R"({"alert":"emergency\n"})",
            R"({"alert":"emergencyx"})",
            R"({"alert":""})",
            R"({"alert":true})",
            R"({"alert":["emergency"]})",
            R"({"Alert":"emergency"})",
        };
        for (const std::string& payload : rows) {
            CAPTURE(payload);
            CHECK(derived_from("health", payload).empty());
        }
    }

    TEST_CASE("derived events have the literal keys of existing receivers")
    {
        struct Row {
            std::string service;
            std::string payload;
            std::string key;
            bool complete;
        };
        const Row rows[] = {
            {"health", R"({"alert":"emergency","patient_id":123})", "health_emergency_123", true},
            {"health", R"({"alert":"emergency","patient_id":"0123"})", "health_emergency_123", true},
            {"health", R"({"alert":"emergency","patient_id":true})", "health_emergency_1", true},
            {"health", R"({"alert":"emergency"})", "health_emergency_None", false},
            {"health", R"({"alert":"emergency","patient_id":null})", "health_emergency_None", false},
            {"health", R"({"alert":"emergency","patient_id":"abc"})", "health_emergency_abc", true},
            {"health", R"({"alert":"emergency","patient_id":12.5})", "health_emergency_12.5", true},
            {"health", R"({"alert":"emergency","patient_id":true,"location":1})", "health_emergency_True",
             true},
            {"health", R"({"alert":"emergency","patient_id":{"a":[1,null]}})",
             "health_emergency_{'a': [1, None]}", true},
            {"energy", R"({"energy":600,"neighborhood":"downtown"})", "critical_energy_usage_downtown", true},
            {"energy", R"({"energy":600,"neighborhood":""})", "critical_energy_usage_", true},
            {"energy", R"({"energy":600})", "critical_energy_usage_None", false},
            {"energy", R"({"energy":600,"neighborhood":5})", "critical_energy_usage_5", true},
        };
        for (const Row& row : rows) {
            CAPTURE(row.payload);
            const auto derived = derived_from(row.service, row.payload);
            CHECK(derived.size() == (row.service == "health" ? 2U : 1U));
            for (const auto& event : derived) {
                CHECK(event.key.text == row.key);
                CHECK(event.key.complete == row.complete);
            }
        }
    }

    TEST_CASE("transport, security and unknown services derive nothing")
    {
        const std::string payload =
            R"({"alert":"emergency","energy":600.0,"patient_id":1,"neighborhood":"x","bus_id":1})";
        for (const std::string_view service : {"transport", "security", "parking", "Health", "ENERGY"}) {
            CAPTURE(service);
            CHECK(derived_from(service, payload).empty());
        }
    }
}
