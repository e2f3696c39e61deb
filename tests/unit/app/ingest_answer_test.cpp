#include "app/ingest.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

TEST_SUITE("app/ingest: answers")
{
    using domain::IngestAnswer;
    using domain::Uuid;

    namespace {

    const Uuid base = domain::parse_uuid("019aa000-0000-7000-8000-00000000ab00").value();
    const Uuid first = domain::family_member(base, 1);
    const Uuid second = domain::family_member(base, 2);
    const std::string base_text = "\"019aa000-0000-7000-8000-00000000ab00\"";
    const std::string first_text = "\"019aa000-0000-7000-8000-00000000ab01\"";
    const std::string second_text = "\"019aa000-0000-7000-8000-00000000ab02\"";

    }  // namespace

    TEST_CASE("an answer has two members, and two more only where there is something to say")
    {
        struct Row {
            const char* name;
            IngestAnswer answer;
            bool show_replayed;
            std::string text;
        };
        const Row rows[] = {
            {"nothing derived",
             {base, {}, {}, "", false},
             false,
             R"({"stored_event_id":)" + base_text + R"(,"derived_events":[]})"},
            {"two derived",
             {base, {first, second}, {}, "", false},
             true,
             R"({"stored_event_id":)" + base_text + R"(,"derived_events":[)" + first_text + "," +
                 second_text + "]}"},
            {"errors, with the blanks of the database",
             {base, {}, {}, R"([{"field": "energy", "message": "m"}])", false},
             false,
             R"({"stored_event_id":)" + base_text +
                 R"(,"derived_events":[],"validation_errors":[{"field":"energy","message":"m"}]})"},
            {"one suppressed",
             {base, {first, second}, {second}, "", false},
             false,
             R"({"stored_event_id":)" + base_text + R"(,"derived_events":[)" + first_text + "," +
                 second_text + R"(],"suppressed":[)" + second_text + "]}"},
            {"a replay of a single request looks like the first answer",
             {base, {}, {}, "", true},
             false,
             R"({"stored_event_id":)" + base_text + R"(,"derived_events":[]})"},
            {"a replay in a batch is marked",
             {base, {}, {}, "", true},
             true,
             R"({"stored_event_id":)" + base_text + R"(,"derived_events":[],"replayed":true})"},
        };
        for (const Row& row : rows) {
            const std::string name = row.name;
            CAPTURE(name);
            CHECK(app::answer_json(row.answer, row.show_replayed) == row.text);
        }
    }

    TEST_CASE("field errors are an array of field and message")
    {
        CHECK(app::field_errors_json({}) == "[]");
        CHECK(app::field_errors_json({{"a", "m"}, {"q\"", "n\n"}}) ==
              R"([{"field":"a","message":"m"},{"field":"q\"","message":"n\n"}])");
    }

    TEST_CASE("a batch holds 1,000 events") { CHECK(app::batch_items_max == 1000); }
}
