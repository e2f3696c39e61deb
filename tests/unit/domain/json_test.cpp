#include "domain/json.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <doctest/doctest.h>

#include <bit>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

TEST_SUITE("domain/json")
{
    namespace json = boost::json;
    using domain::parse_json;

    namespace {

    std::string detail_of(std::string_view text)
    {
        const auto document = parse_json(text);
        return document ? "accepted" : document.error().detail;
    }

    std::string nested(std::size_t depth, char open, char close, std::string_view core = "")
    {
        std::string text;
        for (std::size_t i = 0; i < depth; ++i)
            text += open == '{' && i > 0 ? R"("a":{)" : std::string(1, open);
        text += core;
        return text.append(depth, close);
    }

    }  // namespace

    TEST_CASE("numbers keep their value, and integers their kind")
    {
        struct Row {
            std::string text;
            json::value value;
        };
        const Row rows[] = {
            {"0", 0},
            {"-0", 0},
            {"12", 12},
            {"-12", -12},
            {"12.0", 12.0},
            {"1e2", 100.0},
            {"1E+2", 100.0},
            {"-1.5e-1", -0.15},
            {"9007199254740993", std::int64_t{9007199254740993}},
            {"9223372036854775807", std::numeric_limits<std::int64_t>::max()},
            {"-9223372036854775808", std::numeric_limits<std::int64_t>::min()},
            {"9223372036854775808", std::uint64_t{9223372036854775808U}},
            {"18446744073709551615", std::numeric_limits<std::uint64_t>::max()},
            {"9007199254740993.0", 9007199254740992.0},
            {"1.7976931348623157e308", std::numeric_limits<double>::max()},
            {"2.2250738585072014e-308", std::numeric_limits<double>::min()},
            {"5e-324", std::numeric_limits<double>::denorm_min()},
            {"0e400", 0.0},
        };
        for (const Row& row : rows) {
            CAPTURE(row.text);
            const auto document = parse_json(row.text);
            REQUIRE(document.has_value());
            CHECK(document->value.kind() == row.value.kind());
            CHECK(document->value == row.value);
            CHECK(document->text == row.text);
        }
    }

    TEST_CASE("a text becomes a JSON string that reads back as the same text")
    {
        using namespace std::string_view_literals;
        struct Row {
            std::string_view text;
            std::string_view json;
        };
        const Row rows[] = {
            {"", R"("")"},
            {"a", R"("a")"},
            {"a \"b\" \\ c", R"("a \"b\" \\ c")"},
            {"tab\t line\n", R"("tab\t line\n")"},
            {"a\0b\x1f"sv, R"("a\u0000b\u001f")"},
            {"Å 東 🚌", R"("Å 東 🚌")"},
        };
        for (const Row& row : rows) {
            CAPTURE(row.json);
            CHECK(domain::json_string(row.text) == row.json);
            CHECK(json::parse(domain::json_string(row.text)).as_string() == row.text);
        }
    }

    TEST_CASE("real numbers are correctly rounded")
    {
        // The compiler rounds its own literals correctly; each row is one where a parser that multiplies by
        // powers of ten is off by one unit in the last place, or where the digits are many.
        struct Row {
            std::string text;
            double value;
        };
        const Row rows[] = {
            {"0.1", 0.1},
            {"0.3", 0.3},
            {"59.93428", 59.93428},
            {"30.335098", 30.335098},
            {"8.41", 8.41},
            {"1e23", 1e23},
            {"8.5e-22", 8.5e-22},
            {"123456789.12345678", 123456789.12345678},
            {"0.000000000000000000000000000001234567890123456789", 1.234567890123456789e-30},
            {"6.02214076e23", 6.02214076e23},
            {"1.00000000000000011102230246251565404236316680908203125", 1.0},
            {"1.00000000000000011102230246251565404236316680908203126", 1.0000000000000002},
            {"-2.2250738585072011e-308", -2.2250738585072011e-308},
        };
        for (const Row& row : rows) {
            CAPTURE(row.text);
            const auto document = parse_json(row.text);
            REQUIRE(document.has_value());
            REQUIRE(document->value.is_double());
            CHECK(std::bit_cast<std::uint64_t>(document->value.get_double()) ==
                  std::bit_cast<std::uint64_t>(row.value));
        }
    }

    TEST_CASE("what neither a double nor 64 bits can hold is refused with its place")
    {
        struct Row {
            std::string text;
            std::string detail;
        };
        const Row rows[] = {
            {"1e400", "JSON has a number out of range at the top level"},
            {R"({"a":-1e400})", "JSON has a number out of range at /a"},
            {R"({"a":[0,{"b":1e309}]})", "JSON has a number out of range at /a/1/b"},
            {R"([1,2,1.8e308])", "JSON has a number out of range at /2"},
            {"18446744073709551616", "JSON has an integer beyond 64 bits at the top level"},
            {R"({"n":-9223372036854775809})", "JSON has an integer beyond 64 bits at /n"},
            {R"({"n":123456789012345678901234567890,"m":1})", "JSON has an integer beyond 64 bits at /n"},
            {R"({"x":{"y":1},"n":99999999999999999999})", "JSON has an integer beyond 64 bits at /n"},
            {R"({"x":[[],[1]],"n":99999999999999999999})", "JSON has an integer beyond 64 bits at /n"},
            {R"({"a/b~c":{"":1e999}})", "JSON has a number out of range at /a~1b~0c/"},
            {R"({"caf\u00e9":1e999})", "JSON has a number out of range at /caf\xC3\xA9"},
            {R"({"a":1e999,"b":99999999999999999999})", "JSON has a number out of range at /a"},
        };
        for (const Row& row : rows) {
            CAPTURE(row.text);
            CHECK(detail_of(row.text) == row.detail);
        }
    }

    TEST_CASE("NUL is refused with its place")
    {
        struct Row {
            std::string text;
            std::string detail;
        };
        const Row rows[] = {
            {R"("a\u0000b")", "JSON has a NUL character in a string at the top level"},
            {R"({"a":{"b":"\u0000"}})", "JSON has a NUL character in a string at /a/b"},
            {R"({"a":["x","y\u0000"]})", "JSON has a NUL character in a string at /a/1"},
            {R"({"a":"\\u0000"})", "accepted"},
            {R"({"a":"\u0001"})", "accepted"},
            // The place of a bad key is named without the NUL, which no answer could show.
            {R"({"a":1,"b\u0000c":2})", "JSON has a NUL character in a string at /bc"},
            {R"({"\u0000":2})", "JSON has a NUL character in a string at /"},
        };
        for (const Row& row : rows) {
            CAPTURE(row.text);
            CHECK(detail_of(row.text) == row.detail);
        }
    }

    TEST_CASE("32 levels are accepted and 33 refused")
    {
        CHECK(detail_of(nested(32, '[', ']')) == "accepted");
        CHECK(detail_of(nested(32, '{', '}')) == "accepted");
        CHECK(detail_of(nested(32, '[', ']', "1")) == "accepted");
        CHECK(detail_of(nested(33, '[', ']')).starts_with("JSON is nested deeper than 32 levels at /0/0/"));
        CHECK(detail_of(nested(33, '{', '}')).starts_with("JSON is nested deeper than 32 levels at /a/a/"));
        CHECK(detail_of(nested(300, '[', ']')) == "JSON is nested deeper than 32 levels");
        CHECK(detail_of(nested(100000, '[', ']')) == "JSON is nested deeper than 32 levels");
        // Siblings do not add up.
        CHECK(detail_of("[" + nested(31, '[', ']') + "," + nested(31, '[', ']') + "]") == "accepted");
    }

    TEST_CASE("text that is not JSON is refused with its byte")
    {
        struct Row {
            std::string text;
            std::string prefix;
        };
        const Row rows[] = {
            {"", "not valid JSON at byte 0: "},
            {"   ", "not valid JSON at byte 3: "},
            {"{", "not valid JSON at byte 1: "},
            {R"({"a":1}x)", "not valid JSON at byte 7: "},
            {R"({"a":1} {})", "not valid JSON at byte 8: "},
            {R"({"a":1,})", "not valid JSON at byte 7: "},
            {"{'a':1}", "not valid JSON at byte 1: "},
            {"[1,]", "not valid JSON at byte 3: "},
            {"nul", "not valid JSON at byte 3: "},
            {"NaN", "not valid JSON at byte 0: "},
            {"Infinity", "not valid JSON at byte 0: "},
            {"-Infinity", "not valid JSON at byte 1: "},
            {"01", "not valid JSON at byte 1: "},
            {"+1", "not valid JSON at byte 0: "},
            {"1.", "not valid JSON at byte 2: "},
            {".5", "not valid JSON at byte 0: "},
            {"\xEF\xBB\xBF{}", "not valid JSON at byte 0: "},
            {"// x\n{}", "not valid JSON at byte 0: "},
            {"\"a\nb\"", "not valid JSON at byte 2: "},
            {std::string("{}\0", 3), "not valid JSON at byte 2: "},
            {R"("\x")", "not valid JSON at byte 2: "},
            // Half of a surrogate pair is no character.
            {R"("\ud800")", "not valid JSON at byte 7: "},
            {R"("\ud800x")", "not valid JSON at byte 7: "},
            {R"("\udc00")", "not valid JSON at byte "},
            {R"("\ud800\ud800")", "not valid JSON at byte "},
            // UTF-8: a stray continuation, an overlong slash, a coded surrogate, beyond U+10FFFF, cut off.
            {"\"\x80\"", "not valid JSON at byte 1: "},
            {"\"\xC0\xAF\"", "not valid JSON at byte 1: "},
            {"\"\xED\xA0\x80\"", "not valid JSON at byte "},
            {"\"\xF4\x90\x80\x80\"", "not valid JSON at byte "},
            {"\"\xE2\x82\"", "not valid JSON at byte "},
            {"{\"\xFF\":1}", "not valid JSON at byte 2: "},
        };
        for (const Row& row : rows) {
            CAPTURE(row.text);
            const auto detail = detail_of(row.text);
            CAPTURE(detail);
            CHECK(detail.starts_with(row.prefix));
            CHECK(detail.size() > row.prefix.size());
        }
    }

    TEST_CASE("escapes become characters in the value and stay in the text")
    {
        const std::string text = R"( {"a":"\ud83d\ude80\u00e9\/\n"} )";
        const auto document = parse_json(text);
        REQUIRE(document.has_value());
        CHECK(document->value.at("a").as_string() == "\xF0\x9F\x9A\x80\xC3\xA9/\n");
        CHECK(document->text == text);
    }

    TEST_CASE("of equal keys the last wins")
    {
        const auto document = parse_json(R"({"a":1,"b":2,"a":3})");
        REQUIRE(document.has_value());
        CHECK(document->value.as_object().size() == 2);
        CHECK(document->value.at("a") == 3);
    }

    TEST_CASE("text cut at any byte is refused, and a whole text is read, whatever its neighbours")
    {
        const std::string text = R"({"a\u00e9":[1,-2.5e3,true,false,null,"x\ud83d\ude80\\",{"":{}}],"b":[]})";
        REQUIRE(parse_json(text).has_value());
        for (std::size_t size = 0; size < text.size(); ++size) {
            CAPTURE(size);
            // A copy of exactly that size: a read beyond it is seen by the sanitizer.
            const std::vector<char> cut(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(size));
            CHECK_FALSE(parse_json({cut.data(), cut.size()}).has_value());
        }
    }

    TEST_CASE("any byte in place of another never gets a text through that reads back otherwise")
    {
        const std::string text = R"({"a":["x\n",1.5e2,true]})";
        for (std::size_t at = 0; at < text.size(); ++at) {
            for (int byte = 0; byte < 256; ++byte) {
                std::string changed = text;
                changed[at] = static_cast<char>(byte);
                const auto document = parse_json(changed);
                if (!document) continue;
                CAPTURE(changed);
                const auto again = parse_json(json::serialize(document->value));
                REQUIRE(again.has_value());
                CHECK(again->value == document->value);
            }
        }
    }
}
