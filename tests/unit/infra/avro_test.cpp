#include "infra/kafka/avro_decoder.hpp"
#include "kafka/avro_schema.hpp"
#include "kafka/known_records.hpp"

#include <doctest/doctest.h>

using namespace infra::kafka;

TEST_SUITE("infra/avro")
{
    TEST_CASE("every schema of ours has the name it is known by, and is safe to read")
    {
        for (const auto& known : known_records()) {
            CAPTURE(known.name);
            const auto schema = parse_schema(known.schema);
            REQUIRE(schema);
            CHECK(full_name(schema.get()) == known.name);
            CHECK_FALSE(schema_danger(schema.get()));
        }
    }

    TEST_CASE("schemas whose data is dangerous to read are found")
    {
        const std::pair<std::string_view, bool> cases[] = {
            {R"("string")", false},
            {R"({"type":"array","items":"long"})", false},
            {R"({"type":"array","items":"null"})", true},
            {R"({"type":"array","items":{"type":"record","name":"E","fields":[]}})", true},
            {R"({"type":"array","items":["null","long"]})", false},
            {R"({"type":"map","values":"null"})", false},
            {R"({"type":"record","name":"L","fields":[{"name":"next","type":["null","L"]}]})", true},
            {R"({"type":"record","name":"R","fields":[{"name":"a","type":{"type":"fixed","name":"F","size":2}},
                {"name":"b","type":"F"}]})",
             false},
        };
        for (const auto& entry : cases) {
            const auto& [text, dangerous] = entry;
            CAPTURE(entry.first);
            const auto schema = parse_schema(text);
            REQUIRE(schema);
            CHECK(schema_danger(schema.get()).has_value() == dangerous);
        }
        CHECK_FALSE(parse_schema("{"));
        CHECK_FALSE(parse_schema(R"({"type":"nothing"})"));
    }

    TEST_CASE("without a registry every schema is unknown, and a frame is still checked")
    {
        AvroDecoder decoder("");
        const auto reason = [&](std::string_view frame) {
            return std::get<app::RecordFault>(decoder.decode(frame)).reason;
        };
        CHECK(reason({"\0\0\0\0", 4}) == domain::RejectReason::short_frame);
        CHECK(reason({"\1\0\0\0\7", 5}) == domain::RejectReason::bad_magic);
        CHECK(reason({"\0\0\0\0\7\2", 6}) == domain::RejectReason::unknown_schema);
    }
}
