#include "domain/coercion.hpp"

#include <boost/json/value.hpp>
#include <doctest/doctest.h>

#include <cstdint>
#include <limits>
#include <optional>
#include <string>

// The rows are what pydantic 2 does in lax mode (contracts 0.1), checked against it, but for what JSON cannot
// say: an infinity, NaN, and integers beyond 64 bits are not coerced.
TEST_SUITE("domain/coercion")
{
    namespace json = boost::json;
    using domain::FieldType;

    namespace {

    const std::optional<json::value> no = std::nullopt;
    constexpr auto int_max = std::numeric_limits<std::int64_t>::max();
    constexpr auto int_min = std::numeric_limits<std::int64_t>::min();
    constexpr auto uint_max = std::numeric_limits<std::uint64_t>::max();

    struct Row {
        json::value raw;
        std::optional<json::value> expected;
    };

    void check(const Row& row, FieldType type)
    {
        CAPTURE(row.raw);
        const auto coerced = domain::coerce(row.raw, type);
        REQUIRE(coerced.has_value() == row.expected.has_value());
        if (!coerced) return;
        CHECK(coerced->kind() == row.expected->kind());
        CHECK(*coerced == *row.expected);
    }

    }  // namespace

    TEST_CASE("integers come from numbers without a fraction and from booleans")
    {
        const Row rows[] = {
            {12, 12},
            {-12, -12},
            {int_max, int_max},
            {int_min, int_min},
            {uint_max, uint_max},
            {true, 1},
            {false, 0},
            {12.0, 12},
            {-0.0, 0},
            {1e15, std::int64_t{1000000000000000}},
            {9007199254740992.0, std::int64_t{9007199254740992}},
            {12.5, no},
            {1e-9, no},
            {9.3e18, no},
            {-9.3e18, no},
            {1e300, no},
            {nullptr, no},
            {json::array{}, no},
            {json::array{1}, no},
            {json::object{}, no},
        };
        for (const Row& row : rows) check(row, FieldType::integer);
    }

    TEST_CASE("integers come from text as Python writes them")
    {
        const Row rows[] = {
            {"12", 12},
            {"12.0", 12},
            {"12.00", 12},
            {"-12.0", -12},
            {"0.0", 0},
            {"1_000", 1000},
            {" 1_000 ", 1000},
            {"1_000.0", 1000},
            {"\t12\n", 12},
            {"\f12\v", 12},
            {"+12", 12},
            {"+1_0", 10},
            {"-12", -12},
            {"-0", 0},
            {"+0", 0},
            {"007", 7},
            {"0_7", 7},
            {"9223372036854775807", int_max},
            {"-9223372036854775808", int_min},
            {"9223372036854775808", std::uint64_t{9223372036854775808U}},
            {"18446744073709551615", uint_max},
            {"18446744073709551616", no},
            {"-9223372036854775809", no},
            {"", no},
            {"  ", no},
            {"+", no},
            {"-", no},
            {"+-5", no},
            {"-+5", no},
            {"--5", no},
            {"++5", no},
            {"- 5", no},
            {"-_1", no},
            {"_1", no},
            {"1_", no},
            {"1__0", no},
            {"12.", no},
            {".0", no},
            {"-.0", no},
            {"12.5", no},
            {"1e3", no},
            {"12.0e0", no},
            {"0x10", no},
            {"12a", no},
            {"1 000", no},
            {"1,000", no},
            {"true", no},
            {"None", no},
            {"\xD9\xA1\xD9\xA2", no},
        };
        for (const Row& row : rows) check(row, FieldType::integer);
    }

    TEST_CASE("real numbers come from any number and from booleans")
    {
        const Row rows[] = {
            {1.5, 1.5},
            {-0.0, -0.0},
            {650, 650.0},
            {-650, -650.0},
            {int_max, 9223372036854775808.0},
            {uint_max, 18446744073709551616.0},
            {std::int64_t{9007199254740993}, 9007199254740992.0},
            {true, 1.0},
            {false, 0.0},
            {nullptr, no},
            {json::array{}, no},
            {json::array{1.5}, no},
            {json::object{}, no},
        };
        for (const Row& row : rows) check(row, FieldType::real);
    }

    TEST_CASE("real numbers come from text, but infinities do not")
    {
        const Row rows[] = {
            {"600", 600.0},
            {"12.5", 12.5},
            {"-1.5", -1.5},
            {" 1.5 ", 1.5},
            {"1e3", 1000.0},
            {"1E3", 1000.0},
            {"+1e+3", 1000.0},
            {"1e-3", 0.001},
            {".5", 0.5},
            {"-.5", -0.5},
            {"+.5", 0.5},
            {"5.", 5.0},
            {"+5.", 5.0},
            {"1_000.5", 1000.5},
            {"1_0e1_0", 1e11},
            {"9223372036854775807", 9223372036854775808.0},
            {"100000000000000000000", 1e20},
            {"1.7976931348623157e308", std::numeric_limits<double>::max()},
            {"inf", no},
            {"-inf", no},
            {"+inf", no},
            {"Infinity", no},
            {"nan", no},
            {"+nan", no},
            {"-nan", no},
            {"1e400", no},
            {"", no},
            {" ", no},
            {"+", no},
            {"-", no},
            {".", no},
            {"+-5", no},
            {"-+5", no},
            {"--5", no},
            {"++5", no},
            {"- 5", no},
            {"_5", no},
            {"5_", no},
            {"1__0", no},
            {"e5", no},
            {"1e", no},
            {"0x10", no},
            {"0x1p3", no},
            {"1,5", no},
            {"1 2", no},
            {"true", no},
            {"not_a_number", no},
        };
        for (const Row& row : rows) check(row, FieldType::real);
    }

    TEST_CASE("booleans come from 0, 1 and twelve words")
    {
        const Row rows[] = {
            {true, true},
            {false, false},
            {0, false},
            {1, true},
            {0.0, false},
            {-0.0, false},
            {1.0, true},
            {2, no},
            {-1, no},
            {0.5, no},
            {uint_max, no},
            {int_min, no},
            {nullptr, no},
            {json::array{}, no},
            {json::array{true}, no},
            {json::object{}, no},
            {"0", false},
            {"off", false},
            {"f", false},
            {"false", false},
            {"n", false},
            {"no", false},
            {"1", true},
            {"on", true},
            {"t", true},
            {"true", true},
            {"y", true},
            {"yes", true},
            {"OFF", false},
            {"F", false},
            {"False", false},
            {"FALSE", false},
            {"N", false},
            {"No", false},
            {"ON", true},
            {"T", true},
            {"True", true},
            {"TrUe", true},
            {"Y", true},
            {"YES", true},
            {"", no},
            {" yes", no},
            {"yes ", no},
            {"2", no},
            {"0.0", no},
            {"1.0", no},
            {"ja", no},
            {"tru", no},
            {"truee", no},
            {"None", no},
            {"+1", no},
            {"01", no},
        };
        for (const Row& row : rows) check(row, FieldType::boolean);
    }

    TEST_CASE("only text is text")
    {
        const Row rows[] = {
            {"x", "x"},
            {"", ""},
            {" x ", " x "},
            {"5", "5"},
            {5, no},
            {1.5, no},
            {true, no},
            {nullptr, no},
            {uint_max, no},
            {json::array{"x"}, no},
            {json::object{{"x", "x"}}, no},
        };
        for (const Row& row : rows) check(row, FieldType::text);
    }

    TEST_CASE("the expectation names the type")
    {
        CHECK(domain::expectation(FieldType::integer) == std::string("must be an integer"));
        CHECK(domain::expectation(FieldType::real) == std::string("must be a number"));
        CHECK(domain::expectation(FieldType::boolean) == std::string("must be true or false"));
        CHECK(domain::expectation(FieldType::text) == std::string("must be a string"));
    }
}
