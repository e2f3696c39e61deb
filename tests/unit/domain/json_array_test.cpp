#include "domain/json.hpp"

#include <doctest/doctest.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

TEST_SUITE("domain/json: arrays and members")
{
    using domain::parse_json_array;

    namespace {

    // Texts of the good elements, and "fault: ..." for the others.
    std::vector<std::string> elements_of(std::string_view text, std::size_t items_max = 100)
    {
        const auto items = parse_json_array(text, items_max);
        if (!items) return {"whole: " + items.error().detail};
        std::vector<std::string> out;
        for (const auto& item : *items)
            out.push_back(item ? std::string(item->text) : "fault: " + item.error().detail);
        return out;
    }

    using Texts = std::vector<std::string>;

    }  // namespace

    TEST_CASE("every element is a document of its own, with its own text")
    {
        struct Row {
            std::string text;
            Texts elements;
        };
        const std::string deep32 = std::string(32, '[') + std::string(32, ']');
        const Row rows[] = {
            {"[]", {}},
            {" \t\r\n[ \n] ", {}},
            {"[1]", {"1"}},
            {"[ 1 , 2 ]", {"1", "2"}},
            {R"([{"a":1.50},{"b":[1, 2]}])", {R"({"a":1.50})", R"({"b":[1, 2]})"}},
            {R"(["x,]", null , true,-1e5 ])", {R"("x,]")", "null", "true", "-1e5"}},
            {"[[],{}]", {"[]", "{}"}},
            // The batch itself is no level of its elements.
            {"[" + deep32 + "]", {deep32}},
        };
        for (const Row& row : rows) {
            CAPTURE(row.text);
            CHECK(elements_of(row.text) == row.elements);
        }
    }

    TEST_CASE("an unacceptable element stops no neighbour")
    {
        struct Row {
            std::string text;
            Texts elements;
        };
        const std::string deep33 = std::string(33, '[') + std::string(33, ']');
        const Row rows[] = {
            {R"([{"a":1},{"a":1e400},{"a":2}])",
             {R"({"a":1})", "fault: JSON has a number out of range at /a", R"({"a":2})"}},
            {R"([99999999999999999999 ,{"k":["\u0000"]},3])",
             {"fault: JSON has an integer beyond 64 bits at the top level",
              "fault: JSON has a NUL character in a string at /k/0", "3"}},
        };
        for (const Row& row : rows) {
            CAPTURE(row.text);
            CHECK(elements_of(row.text) == row.elements);
        }
        const auto deep = elements_of("[1," + deep33 + ",2]");
        REQUIRE(deep.size() == 3);
        CHECK(deep[1].starts_with("fault: JSON is nested deeper than 32 levels at /0/0/"));
        CHECK(deep[2] == "2");
    }

    TEST_CASE("a malformed array fails as a whole")
    {
        struct Row {
            std::string text;
            std::string detail;
        };
        const Row rows[] = {
            {"", "whole: not a JSON array"},
            {"{}", "whole: not a JSON array"},
            {"null", "whole: not a JSON array"},
            {"[", "whole: not valid JSON at byte 1: "},
            {"[1", "whole: not valid JSON at byte 2: "},
            {"[1,", "whole: not valid JSON at byte 3: "},
            {"[1,]", "whole: not valid JSON at byte 3: "},
            {"[,1]", "whole: not valid JSON at byte 1: "},
            {"[1 2]", "whole: not valid JSON at byte 3: "},
            {"[1}", "whole: not valid JSON at byte 2: "},
            {"[1]]", "whole: not valid JSON at byte 3: extra data"},
            {"[1] [2]", "whole: not valid JSON at byte 4: extra data"},
            {"[{\"a\":1},{\"b\":}]", "whole: not valid JSON at byte "},
            {"[\"\xFF\"]", "whole: not valid JSON at byte 2: "},
            {"[" + std::string(300, '[') + std::string(300, ']') + "]",
             "whole: JSON is nested deeper than 32 levels"},
        };
        for (const Row& row : rows) {
            CAPTURE(row.text);
            const auto elements = elements_of(row.text);
            REQUIRE(elements.size() == 1);
            CAPTURE(elements[0]);
            CHECK(elements[0].starts_with(row.detail));
        }
    }

    TEST_CASE("an array has at most as many elements as allowed")
    {
        CHECK(elements_of("[1,2,3]", 3) == Texts{"1", "2", "3"});
        CHECK(elements_of("[1,2,3,4]", 3) == Texts{"whole: more than 3 items in one batch"});
        CHECK(elements_of("[]", 0).empty());
        CHECK(elements_of("[1]", 0) == Texts{"whole: more than 0 items in one batch"});
    }

    TEST_CASE("an array cut at any byte is refused")
    {
        const std::string text = R"([{"a":[1,"x\u00e9"]},-2.5e3,true,null])";
        REQUIRE(elements_of(text) == Texts{R"({"a":[1,"x\u00e9"]})", "-2.5e3", "true", "null"});
        for (std::size_t size = 0; size < text.size(); ++size) {
            CAPTURE(size);
            const std::vector<char> cut(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(size));
            CHECK_FALSE(parse_json_array({cut.data(), cut.size()}, 100).has_value());
        }
    }

    TEST_CASE("the text of a member is exact, and of equal names the last counts")
    {
        struct Row {
            std::string object;
            std::string name;
            std::optional<std::string> text;
        };
        const Row rows[] = {
            {R"({"data":1.50})", "data", "1.50"},
            {R"( { "id" : "x" , "data" : { "a" : [ 1, 2 ] } , "z":0 } )", "data", R"({ "a" : [ 1, 2 ] })"},
            {R"({"data":1,"data":2})", "data", "2"},
            {R"({"d\u0061ta":"escaped"})", "data", R"("escaped")"},
            {R"({"x":{"data":1}})", "data", std::nullopt},
            {R"({"x":"data"})", "data", std::nullopt},
            {R"({"data ":1})", "data", std::nullopt},
            {R"({"Data":1})", "data", std::nullopt},
            {"{}", "data", std::nullopt},
            {" { } ", "data", std::nullopt},
            {R"({"":null})", "", "null"},
            {R"({"a":"}","data":"],}"})", "data", R"("],}")"},
            {R"({"data":12345678901234567890.000000000000001})", "data",
             "12345678901234567890.000000000000001"},
        };
        for (const Row& row : rows) {
            CAPTURE(row.object);
            const auto found = domain::json_member_text(row.object, row.name);
            CHECK(found.has_value() == row.text.has_value());
            if (found && row.text) CHECK(*found == *row.text);
        }
    }

    TEST_CASE("an array is told by its first character")
    {
        struct Row {
            std::string text;
            bool array;
        };
        const Row rows[] = {
            {"[", true},      {" \t\r\n[1]", true}, {"", false}, {" ", false}, {R"({"a":[]})", false},
            {"\"[\"", false}, {"\v[", false},
        };
        for (const Row& row : rows) {
            CAPTURE(row.text);
            CHECK(domain::looks_like_json_array(row.text) == row.array);
        }
    }
}
