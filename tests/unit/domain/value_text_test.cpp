#include "domain/coercion.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <doctest/doctest.h>

#include <cstdint>
#include <cstdlib>
#include <limits>
#include <string>

TEST_SUITE("domain/coercion: texts")
{
    namespace json = boost::json;

    TEST_CASE("values look as Python prints them, because keys of existing senders do")
    {
        // `text` is str(value) of Python 3.
        struct Row {
            json::value value;
            std::string text;
        };
        const Row rows[] = {
            {nullptr, "None"},
            {true, "True"},
            {false, "False"},
            {0, "0"},
            {-1, "-1"},
            {std::numeric_limits<std::int64_t>::min(), "-9223372036854775808"},
            {std::numeric_limits<std::uint64_t>::max(), "18446744073709551615"},
            {12.0, "12.0"},
            {12.5, "12.5"},
            {650.0, "650.0"},
            {-0.0, "-0.0"},
            {0.1, "0.1"},
            {1.0 / 3.0, "0.3333333333333333"},
            {1e15, "1000000000000000.0"},
            {9999999999999998.0, "9999999999999998.0"},
            {1e16, "1e+16"},
            {123456789012345680.0, "1.2345678901234568e+17"},
            {1.5e300, "1.5e+300"},
            {1e-4, "0.0001"},
            {9.9e-5, "9.9e-05"},
            {1e-5, "1e-05"},
            {5e-324, "5e-324"},
            {std::numeric_limits<double>::max(), "1.7976931348623157e+308"},
            {"downtown", "downtown"},
            {"", ""},
            {"it's \"x\"\n", "it's \"x\"\n"},
            {json::array{}, "[]"},
            {json::object{}, "{}"},
            {json::array{"a", 1, 1.5, nullptr, true}, "['a', 1, 1.5, None, True]"},
            {json::array{"it's"}, R"(["it's"])"},
            {json::array{"say \"x\""}, R"(['say "x"'])"},
            {json::array{"it's \"x\""}, R"(['it\'s "x"'])"},
            {json::array{"back\\slash"}, R"(['back\\slash'])"},
            {json::array{"new\nline", "\t", "\r"}, R"(['new\nline', '\t', '\r'])"},
            {json::array{"\x01", "\x1B", "\x7F"}, R"(['\x01', '\x1b', '\x7f'])"},
            {json::array{"\xC3\xA9"}, "['\xC3\xA9']"},
        };
        for (const Row& row : rows) {
            CAPTURE(row.value);
            CHECK(domain::python_text(row.value) == row.text);
        }
        const auto nested = json::parse(R"({"a":1,"b":[{"c":null}],"d'e":{}})");
        CHECK(domain::python_text(nested) == R"({'a': 1, 'b': [{'c': None}], "d'e": {}})");
    }

    TEST_CASE("JSON text keeps the point of real numbers")
    {
        struct Row {
            json::value value;
            std::string text;
        };
        const Row rows[] = {
            {nullptr, "null"},
            {true, "true"},
            {false, "false"},
            {650, "650"},
            {650.0, "650.0"},
            {-0.5, "-0.5"},
            {1e16, "1e+16"},
            {1e-7, "1e-07"},
            {std::numeric_limits<std::uint64_t>::max(), "18446744073709551615"},
            {"a\"b\\c\n\x01", R"("a\"b\\c\n\u0001")"},
            {"\xC3\xA9", "\"\xC3\xA9\""},
            {json::array{}, "[]"},
            {json::object{}, "{}"},
            {json::array{1, 1.0, json::array{2.0}}, "[1,1.0,[2.0]]"},
        };
        for (const Row& row : rows) {
            CAPTURE(row.value);
            CHECK(domain::json_text(row.value) == row.text);
        }
        const json::value nested{{"k\"\n", 600.0}, {"z", {{"a", json::array{nullptr, 0.1}}}}};
        CHECK(domain::json_text(nested) == R"({"k\"\n":600.0,"z":{"a":[null,0.1]}})");
    }

    TEST_CASE("JSON text reads back as the same value")
    {
        for (const double number : {0.1, 1e16, 1e-7, 5e-324, 1.7976931348623157e308, -0.0, 123456.789}) {
            CAPTURE(number);
            const auto text = domain::json_text(number);
            CHECK(std::strtod(text.c_str(), nullptr) == number);
            CHECK(text.find_first_of(".e") != std::string::npos);
            CHECK(json::parse(text).is_double());
        }
    }
}
