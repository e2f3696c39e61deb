#include "kafka/avro_encoder.hpp"

#include "kafka/avro_inference.hpp"

#include <boost/json/parse.hpp>
#include <doctest/doctest.h>

namespace {

namespace json = boost::json;
using infra::kafka::AvroEncoder;
using infra::kafka::AvroMisfit;

std::string inferred(std::string_view payload, std::string_view name = "event.bus")
{
    return infra::kafka::inferred_schema(json::parse({payload.data(), payload.size()}).as_object(), name)
        .value_or("none");
}

std::string encoded(std::string_view schema, std::string_view payload)
{
    return AvroEncoder(schema).encode(json::parse({payload.data(), payload.size()}));
}

std::string field(std::string_view type)
{
    return R"({"type":"record","name":"R","fields":[{"name":"a","type":)" + std::string(type) + "}]}";
}

}  // namespace

TEST_SUITE("infra/kafka/avro_encoder")
{
    TEST_CASE("a schema is inferred from a payload")
    {
        CHECK(inferred("{}") == R"({"type":"record","namespace":"event","name":"bus","fields":[]})");
        CHECK(inferred(R"({"b": 1, "a": "x"})") == inferred(R"({"a": "y", "b": 2})"));
        CHECK(inferred(R"({"a": 1.5})", "city") ==
              R"({"type":"record","name":"city","fields":[)"
              R"({"name":"a","type":["null","double"],"default":null}]})");
        CHECK(inferred(R"({"a": {"b": [1, 2.5]}})") ==
              R"({"type":"record","namespace":"event","name":"bus","fields":[{"name":"a","type":["null",)"
              R"({"type":"record","name":"bus_a","fields":[{"name":"b","type":["null",)"
              R"({"type":"array","items":["null","double"]}],"default":null}]}],"default":null}]})");
        CHECK(inferred(R"({"a": [1, "x", null]})").find(R"("items":["null","string"])") != std::string::npos);
        CHECK(inferred(R"({"a-b": 1})", "event.9-x").find(R"("name":"_9_x","fields":[{"name":"a_b")") !=
              std::string::npos);
        CHECK(inferred(R"({"a-b": 1, "a_b": 1})") == "none");
    }

    TEST_CASE("what fits its inferred schema is written with nothing lost")
    {
        const std::string payload =
            R"({"n": null, "flag": true, "count": -3, "list": [{"x": 1}, {"y": "z"}]})";
        CHECK_FALSE(encoded(inferred(payload), payload).empty());
        CHECK(encoded(inferred(R"({"a": 7})"), R"({"a": 7})") == std::string("\x02\x0E"));
        const std::string big = R"({"a": 18446744073709551615})";
        CHECK(encoded(inferred(big), big) ==
              "\x02\x28"
              "18446744073709551615");
        const std::string mixed = R"({"a": [1, {"b": 2}]})";
        CHECK(encoded(inferred(mixed), mixed) == std::string("\x02\x04\x02\x02"
                                                             "1\x02\x0E{\"b\":2}\x00",
                                                             15));
    }

    TEST_CASE("the vectors of the registry's users")
    {
        constexpr std::string_view project =
            R"({"type":"record","name":"ProjectCreated","namespace":"scenario.events.projects","fields":[
                {"name":"project_id","type":"long"},{"name":"base_scenario_id","type":"long"},
                {"name":"territory_id","type":"long"}]})";
        CHECK(AvroEncoder(project).record_name() == "scenario.events.projects.ProjectCreated");
        CHECK(encoded(project, R"({"territory_id": 3, "project_id": 1, "base_scenario_id": 2, "more": 9})") ==
              "\x02\x04\x06");
    }

    TEST_CASE("types of given schemas")
    {
        CHECK(encoded(field(R"({"type":"enum","name":"E","symbols":["x","y"]})"), R"({"a": "y"})") == "\x02");
        CHECK(encoded(field(R"("bytes")"), R"({"a": "AQI="})") == "\x04\x01\x02");
        CHECK(encoded(field(R"({"type":"fixed","name":"F","size":2})"), R"({"a": "AQI="})") == "\x01\x02");
        CHECK(encoded(field(R"({"type":"map","values":"int"})"), R"({"a": {"k": 1}})") ==
              std::string("\x02\x02k\x02\x00", 5));
        CHECK(encoded(field(R"(["null","long","string"])"), R"({"a": "x"})") == "\x04\x02x");
        CHECK(encoded(field(R"(["null","long"])"), "{}") == std::string(1, '\0'));
    }

    TEST_CASE("what does not fit names its place")
    {
        CHECK_THROWS_WITH_AS(encoded(field(R"("long")"), R"({"a": "secret"})"),
                             "the payload does not fit the schema at a", AvroMisfit);
        CHECK_THROWS_AS(encoded(field(R"("long")"), "{}"), AvroMisfit);
        CHECK_THROWS_AS(encoded(field(R"("int")"), R"({"a": 3000000000})"), AvroMisfit);
        CHECK_THROWS_AS(encoded(field(R"("long")"), R"({"a": 1.5})"), AvroMisfit);
        CHECK_THROWS_AS(encoded(field(R"({"type":"fixed","name":"F","size":3})"), R"({"a": "AQI="})"),
                        AvroMisfit);
        CHECK_THROWS_WITH_AS(
            encoded(field(R"({"type":"record","name":"S","fields":[{"name":"b","type":"long"}]})"),
                    R"({"a": {"b": true}})"),
            "the payload does not fit the schema at a.b", AvroMisfit);
    }

    TEST_CASE("what is no schema of a record is refused")
    {
        for (const char* const text : {"", "{}", R"("long")", R"({"type":"record"})", "[1"})
            CHECK_THROWS_AS(AvroEncoder{text}, std::invalid_argument);
        CHECK_THROWS_AS(
            AvroEncoder(R"({"type":"record","name":"R","fields":[{"name":"next","type":["null","R"]}]})"),
            std::invalid_argument);
    }
}
