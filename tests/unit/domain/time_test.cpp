#include "domain/ids.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <optional>
#include <string>

TEST_SUITE("domain/ids: times")
{
    using domain::TimePoint;
    using namespace std::chrono_literals;
    using std::chrono::sys_days;
    using std::chrono::year;

    namespace {

    constexpr TimePoint four = sys_days{year{2026} / 11 / 21} + 4h;

    }  // namespace

    TEST_CASE("times are written in UTC, with microseconds only where there are some")
    {
        struct Row {
            TimePoint time;
            std::string text;
        };
        const Row rows[] = {
            {TimePoint{}, "1970-01-01T00:00:00Z"},
            {four, "2026-11-21T04:00:00Z"},
            {four + 250ms, "2026-11-21T04:00:00.25Z"},
            {four + 1us, "2026-11-21T04:00:00.000001Z"},
            {four + 100us, "2026-11-21T04:00:00.0001Z"},
            {four + 999999us, "2026-11-21T04:00:00.999999Z"},
            {four + 10s, "2026-11-21T04:00:10Z"},
            {sys_days{year{2024} / 2 / 29} + 23h + 59min + 59s, "2024-02-29T23:59:59Z"},
            {sys_days{year{9999} / 12 / 31} + 23h + 59min + 59s, "9999-12-31T23:59:59Z"},
        };
        for (const Row& row : rows) {
            CAPTURE(row.text);
            CHECK(domain::format_time(row.time) == row.text);
            CHECK(domain::parse_time(row.text) == row.time);
        }
    }

    TEST_CASE("RFC 3339 is read with any offset")
    {
        struct Row {
            std::string text;
            std::optional<TimePoint> time;
        };
        const Row rows[] = {
            {"2026-11-21T04:00:00z", four},
            {"2026-11-21t04:00:00Z", four},
            {"2026-11-21 04:00:00Z", four},
            {"2026-11-21T04:00:00+00:00", four},
            {"2026-11-21T04:00:00-00:00", four},
            {"2026-11-21T06:30:00+02:30", four},
            {"2026-11-20T20:00:00-08:00", four},
            {"2026-11-22T03:59:00+23:59", four},
            {"2026-11-21T04:00:00.5Z", four + 500ms},
            {"2026-11-21T04:00:00.123456Z", four + 123456us},
            {"2026-11-21T04:00:00.123456999Z", four + 123456us},
            {"2026-11-21T04:00:00.0000009Z", four},
            {"2026-11-21T04:00:60Z", four + 59s},
            {"1970-01-01T01:00:00+01:00", TimePoint{}},
            {"1985-04-12T23:20:50.52Z", sys_days{year{1985} / 4 / 12} + 23h + 20min + 50s + 520ms},
            {"1996-12-19T16:39:57-08:00", sys_days{year{1996} / 12 / 20} + 39min + 57s},
        };
        for (const Row& row : rows) {
            CAPTURE(row.text);
            CHECK(domain::parse_time(row.text) == row.time);
        }
    }

    TEST_CASE("what is no RFC 3339 time, or outside of 1970 to 9999, is refused")
    {
        const std::string rows[] = {
            "",
            "now",
            "2026-11-21",
            "2026-11-21T04:00:00",
            "2026-11-21T04:00Z",
            "2026-11-21T04:00:00.Z",
            "2026-11-21T04:00:00,5Z",
            "2026-11-21T04:00:00ZZ",
            "2026-11-21T04:00:00Z ",
            " 2026-11-21T04:00:00Z",
            "2026-11-21T04:00:00+0000",
            "2026-11-21T04:00:00+00",
            "2026-11-21T04:00:00+24:00",
            "2026-11-21T04:00:00+00:60",
            "2026-11-21T04:00:00 +00:00",
            "2026-11-21_04:00:00Z",
            "2026-11-21T24:00:00Z",
            "2026-11-21T04:60:00Z",
            "2026-11-21T04:00:61Z",
            "2026-13-21T04:00:00Z",
            "2026-00-21T04:00:00Z",
            "2026-11-00T04:00:00Z",
            "2026-11-31T04:00:00Z",
            "2026-02-29T04:00:00Z",
            "2026-1-21T04:00:00Z",
            "+2026-11-21T04:00:00Z",
            "-026-11-21T04:00:00Z",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00+00:01",
            "0000-01-01T00:00:00Z",
            "9999-12-31T23:59:59-00:01",
            "10000-01-01T00:00:00Z",
            "1764000000",
        };
        for (const std::string& text : rows) {
            CAPTURE(text);
            CHECK_FALSE(domain::parse_time(text));
        }
    }
}
