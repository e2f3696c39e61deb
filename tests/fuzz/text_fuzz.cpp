#include "domain/ids.hpp"
#include "fuzz/fuzz.hpp"
#include "log/line_format.hpp"

#include <boost/json/parse.hpp>
#include <doctest/doctest.h>

#include <algorithm>

namespace {

using fuzz::require;

void check_time(const std::string& text)
{
    const auto time = domain::parse_time(text);
    if (!time) return;
    require(text.size() >= 20, "a time that is too short for RFC 3339");
    const std::string written = domain::format_time(*time);
    require(domain::parse_time(written) == time, "a time is written as another one: " + written);
    const bool fits = written.size() >= std::string_view("2026-11-21T04:00:00Z").size() &&
                      written.size() <= std::string_view("2026-11-21T04:00:00.000001Z").size();
    require(fits && written >= "1970", "a time out of range: " + written);
}

void check_uuid(const std::string& text)
{
    const auto id = domain::parse_uuid(text);
    if (!id) return;
    std::string lower = text;
    std::transform(lower.begin(), lower.end(), lower.begin(),
                   [](char c) { return c >= 'A' && c <= 'F' ? static_cast<char>(c | 0x20) : c; });
    require(domain::to_string(*id) == lower, "a UUID is written as another one");
    require(domain::family_base(domain::family_member(*id, 255)) == domain::family_base(*id),
            "a member left its family");
    require(domain::family_ordinal(domain::family_member(*id, 17)) == 17, "a member lost its ordinal");
}

// Whoever chooses a value must not be able to write a second line, or commands for a terminal, into the log.
void check_log_line(const std::string& text)
{
    const infra::LogFields fields{{"service", text}, {"count", 3}};
    infra::log::Line line{};
    line.logger = "api";
    line.event = "refused";
    line.fields = fields;
    std::string written;
    infra::log::append_json(written, line);
    require(!fuzz::has_control_characters(written) && fuzz::is_valid_utf8(written),
            "a line that is not plain: " + written);
    boost::json::error_code ec;
    const auto parsed = boost::json::parse(written, ec);
    require(!ec, "a line that is not JSON: " + written);
    const auto& shown = parsed.at("service").as_string();
    const bool kept = text.size() <= infra::log_value_bytes_max && fuzz::is_valid_utf8(text);
    require(!kept || std::string_view(shown) == text, "the line holds another value");
    written.clear();
    infra::log::append_text(written, line, false);
    require(!fuzz::has_control_characters(written) && fuzz::is_valid_utf8(written),
            "a text line that is not plain");
}

std::vector<std::string> time_seeds()
{
    return {"2026-11-21T04:00:00Z",
            "2026-11-21T04:00:00.25Z",
            "2026-11-21t04:00:00z",
            "2026-02-29T23:59:60+00:00",
            "2024-02-29T00:00:00.123456789-23:59",
            "1970-01-01T00:00:00+00:01",
            "9999-12-31T23:59:59.999999-00:01",
            "2016-01-01 00:00:00",
            "2026-11-21T24:00:00Z"};
}

}  // namespace

TEST_SUITE("fuzz/text")
{
    TEST_CASE("times and ids are written as they were read")
    {
        auto seeds = time_seeds();
        seeds.insert(seeds.end(),
                     {"0191d7a8-7c00-7000-8000-000000000000", "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF"});
        fuzz::run(fuzz::mutated({seeds, {"T", "Z", ":", ".", "+01:00", "-", "00", "31", "e", "12-"}}),
                  [](const std::string& text) {
                      check_time(text);
                      check_uuid(text);
                  });
    }

    TEST_CASE("a log line is one line and valid JSON, whatever it is about")
    {
        const std::vector<std::string> seeds{"energy",
                                             "a\nb",
                                             "\x1B[31mred",
                                             "\xC2\x9B",
                                             "\"}\n{\"level\":\"error\"",
                                             std::string(1030, 'x'),
                                             "\xF0\x9F\x98\x80",
                                             "\xE2\x80\xA8"};
        fuzz::run(fuzz::mutated({seeds, fuzz::json_tokens()}), check_log_line);
    }
}
