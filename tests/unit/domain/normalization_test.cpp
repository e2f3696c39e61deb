#include "domain/service.hpp"
#include "domain/service_registry.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <doctest/doctest.h>

#include <string>
#include <vector>

TEST_SUITE("domain/normalization")
{
    namespace json = boost::json;
    using Errors = std::vector<domain::FieldError>;

    namespace {

    // `patch` as JSON text; real numbers keep their point, so kinds are seen.
    struct Row {
        std::string payload;
        std::string patch;
        Errors errors = {};
    };

    void check(const std::string& service, const std::vector<Row>& rows)
    {
        domain::ServiceRegistry registry;
        domain::register_builtin_services(registry);
        for (const Row& row : rows) {
            CAPTURE(service);
            CAPTURE(row.payload);
            const auto payload = json::parse(row.payload).as_object();
            const auto result = registry.find_or_pass_through(service).normalizer->normalize(payload);
            CHECK(domain::json_text(result.patch) == row.patch);
            CHECK(result.errors == row.errors);
        }
    }

    const domain::FieldError bad_patient{"patient_id", "must be an integer"};
    const domain::FieldError bad_alert_text{"alert", "must be a string"};
    const domain::FieldError bad_location{"location", "must be a string"};
    const domain::FieldError bad_energy{"energy", "must be a number"};
    const domain::FieldError bad_neighborhood{"neighborhood", "must be a string"};
    const domain::FieldError bad_bus{"bus_id", "must be an integer"};
    const domain::FieldError bad_lat{"lat", "must be a number"};
    const domain::FieldError bad_lon{"lon", "must be a number"};
    const domain::FieldError bad_alert_flag{"alert", "must be true or false"};
    const domain::FieldError bad_camera{"camera_trigger", "must be a string"};

    }  // namespace

    TEST_CASE("health: fields are coerced, absent ones null, others untouched")
    {
        check("health",
              {
                  {R"({"patient_id":123,"alert":"emergency","location":"north"})", "{}"},
                  {R"({})", R"({"patient_id":null,"alert":null,"location":null})"},
                  {R"({"alert":"routine"})", R"({"patient_id":null,"location":null})"},
                  {R"({"patient_id":null,"alert":null,"location":null})", "{}"},
                  {R"({"patient_id":"123","alert":"x","location":""})", R"({"patient_id":123})"},
                  {R"({"patient_id":"12.0","alert":"x"})", R"({"patient_id":12,"location":null})"},
                  {R"({"patient_id":12.0,"alert":"x","location":"y"})", R"({"patient_id":12})"},
                  {R"({"patient_id":true,"alert":"x","location":"y"})", R"({"patient_id":1})"},
                  {R"({"patient_id":1,"alert":"x","location":"y","vitals":{"bp":[120,80.0]}})", "{}"},
                  {R"({"patient_id":"abc","alert":"emergency"})", "{}", {bad_patient}},
                  {R"({"patient_id":12.5})", "{}", {bad_patient}},
                  {R"({"patient_id":"7","alert":5})", "{}", {bad_alert_text}},
                  {R"({"location":[],"alert":true,"patient_id":{}})",
                   "{}",
                   {bad_patient, bad_alert_text, bad_location}},
              });
    }

    TEST_CASE("energy: usage becomes a real number")
    {
        check("energy", {
                            {R"({"energy":650.0,"neighborhood":"downtown"})", "{}"},
                            {R"({"energy":650,"neighborhood":"downtown"})", R"({"energy":650.0})"},
                            {R"({"energy":"600"})", R"({"energy":600.0,"neighborhood":null})"},
                            {R"({"energy":"1e3","neighborhood":null})", R"({"energy":1000.0})"},
                            {R"({"energy":true,"neighborhood":null})", R"({"energy":1.0})"},
                            {R"({"energy":null})", R"({"neighborhood":null})"},
                            {R"({"meter":"m-1"})", R"({"energy":null,"neighborhood":null})"},
                            {R"({"energy":600,"neighborhood":5})", "{}", {bad_neighborhood}},
                            {R"({"energy":"not_a_number"})", "{}", {bad_energy}},
                            {R"({"energy":[600]})", "{}", {bad_energy}},
                            {R"({"energy":{"kwh":600}})", "{}", {bad_energy}},
                            {R"({"energy":"inf"})", "{}", {bad_energy}},
                            {R"({"energy":"x","neighborhood":1})", "{}", {bad_energy, bad_neighborhood}},
                        });
    }

    TEST_CASE("transport: a bus and its place")
    {
        check("transport",
              {
                  {R"({"bus_id":12,"lat":-8.05,"lon":-34.9})", "{}"},
                  {R"({"bus_id":"12","lat":"-8.05","lon":-34})", R"({"bus_id":12,"lat":-8.05,"lon":-34.0})"},
                  {R"({})", R"({"bus_id":null,"lat":null,"lon":null})"},
                  {R"({"bus_id":"a","lat":"b","lon":"c"})", "{}", {bad_bus, bad_lat, bad_lon}},
                  {R"({"bus_id":18446744073709551615,"lat":0.5,"lon":1.5})", "{}"},
              });
    }

    TEST_CASE("security: the alert is true or false")
    {
        check("security", {
                              {R"({"alert":true,"camera_trigger":"cam-1"})", "{}"},
                              {R"({"alert":"yes","camera_trigger":"cam-1"})", R"({"alert":true})"},
                              {R"({"alert":"OFF","camera_trigger":"cam-1"})", R"({"alert":false})"},
                              {R"({"alert":0,"camera_trigger":"cam-1"})", R"({"alert":false})"},
                              {R"({"alert":1.0})", R"({"alert":true,"camera_trigger":null})"},
                              {R"({"alert":"possible_risk"})", "{}", {bad_alert_flag}},
                              {R"({"alert":2,"camera_trigger":7})", "{}", {bad_alert_flag, bad_camera}},
                          });
    }

    TEST_CASE("another service keeps everything and declares nothing")
    {
        check("parking", {
                             {R"({})", "{}"},
                             {R"({"energy":"x","alert":[1],"patient_id":"abc"})", "{}"},
                         });
    }

    TEST_CASE("names of fields are case-sensitive, and of equal keys the last wins")
    {
        check("energy", {
                            {R"({"Energy":600,"neighborhood":"x"})", R"({"energy":null})"},
                            {R"({"energy":"x","energy":600.0,"neighborhood":"x"})", "{}"},
                        });
    }

    TEST_CASE("facts are the payload overlaid with the patch, and never missing")
    {
        const auto payload = json::parse(R"({"a":"12","b":null,"c":[1]})").as_object();
        const json::object patch{{"a", 12}, {"d", nullptr}};
        const domain::Facts facts(payload, patch);
        CHECK(facts["a"] == 12);
        CHECK(facts["b"].is_null());
        CHECK(facts["c"] == json::array{1});
        CHECK(facts["d"].is_null());
        CHECK(facts["e"].is_null());
    }
}
