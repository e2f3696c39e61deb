#include "infra/log/log.hpp"

#include "infra/log/repeat_limiter.hpp"

#include <boost/json.hpp>
#include <doctest/doctest.h>

#include <atomic>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <sstream>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

namespace json = boost::json;
using namespace std::chrono_literals;
using infra::LogFormat;
using infra::LogLevel;

namespace {

// Catches the lines of one case.
class Capture {
public:
    explicit Capture(LogLevel level = LogLevel::trace, LogFormat format = LogFormat::json,
                     bool colour = false)
    {
        infra::init_logging({level, format, "test", colour, &stream_});
    }
    ~Capture() { infra::init_logging({}); }
    Capture(const Capture&) = delete;
    Capture& operator=(const Capture&) = delete;

    std::string text() const { return stream_.str(); }

    std::vector<json::object> lines() const
    {
        std::vector<json::object> parsed;
        std::istringstream input(stream_.str());
        for (std::string line; std::getline(input, line);) parsed.push_back(json::parse(line).as_object());
        return parsed;
    }

    json::object only_line() const
    {
        const auto all = lines();
        REQUIRE(all.size() == 1);
        return all.front();
    }

private:
    std::ostringstream stream_;
};

struct Folder {
    Folder() : path(std::filesystem::temp_directory_path() / ("polis-log-" + std::to_string(::getpid())))
    {
        std::filesystem::create_directories(path);
    }
    ~Folder() { std::filesystem::remove_all(path); }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;

    const std::filesystem::path path;
};

std::vector<std::string> events_in(const std::filesystem::path& file)
{
    std::vector<std::string> events;
    std::ifstream input(file);
    for (std::string line; std::getline(input, line);)
        events.emplace_back(json::parse(line).at("event").as_string());
    return events;
}

std::string logged_value(std::string_view value)
{
    const Capture capture;
    infra::log_info("value", {{"value", value}});
    return std::string(capture.only_line().at("value").as_string());
}

}  // namespace

TEST_SUITE("infra/log")
{
    TEST_CASE("a line is one JSON object with time, level, logger, event and fields in order")
    {
        const Capture capture;
        const std::string service = "health";
        infra::log_info("event stored", {{"service", service},
                                         {"count", std::size_t{3}},
                                         {"offset", -1},
                                         {"large", std::numeric_limits<std::uint64_t>::max()},
                                         {"small", std::numeric_limits<std::int64_t>::min()},
                                         {"took_ms", 0.25},
                                         {"replayed", false}});
        const auto line = capture.only_line();
        std::vector<std::string> keys;
        for (const auto& member : line) keys.emplace_back(member.key());
        CHECK(keys == std::vector<std::string>{"timestamp", "level", "logger", "event", "service", "count",
                                               "offset", "large", "small", "took_ms", "replayed"});
        CHECK(line.at("level") == "info");
        CHECK(line.at("logger") == "test");
        CHECK(line.at("event") == "event stored");
        CHECK(line.at("service") == "health");
        CHECK(line.at("count").as_int64() == 3);
        CHECK(line.at("offset").as_int64() == -1);
        CHECK(line.at("large").as_uint64() == std::numeric_limits<std::uint64_t>::max());
        CHECK(line.at("small").as_int64() == std::numeric_limits<std::int64_t>::min());
        CHECK(line.at("took_ms").as_double() == 0.25);
        CHECK_FALSE(line.at("replayed").as_bool());
        const std::string time(line.at("timestamp").as_string());
        REQUIRE(time.size() == std::string_view("2026-01-02T03:04:05.678Z").size());
        CHECK(time.starts_with("20"));
        CHECK(time[10] == 'T');
        CHECK(time.back() == 'Z');
    }

    TEST_CASE("texts come back as they were, whatever they contain")
    {
        for (const std::string_view text :
             {std::string_view("plain"), std::string_view("\"quoted\" \\ back\\slash /"),
              std::string_view("line\nbreak\r\ttab"), std::string_view("nul\0inside", 10),
              std::string_view("\x01\x1f\x7f"), std::string_view("\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80"),
              std::string_view("\xC2\x9B"
                               "31m"),
              std::string_view("")}) {
            CHECK(logged_value(text) == text);
        }
    }

    TEST_CASE("broken UTF-8 becomes replacement characters and the line stays JSON")
    {
        const std::string bad = "\xEF\xBF\xBD";
        CHECK(logged_value("a\xFF"
                           "b") == "a" + bad + "b");
        CHECK(logged_value("\xC3") == bad);                                // cut off
        CHECK(logged_value("\xC0\xAF") == bad + bad);                      // overlong
        CHECK(logged_value("\xED\xA0\x80") == bad + bad + bad);            // surrogate
        CHECK(logged_value("\xF4\x90\x80\x80") == bad + bad + bad + bad);  // above U+10FFFF
        CHECK(logged_value("\xE2\x82(") == bad + bad + "(");
    }

    TEST_CASE("no control character reaches the terminal raw")
    {
        for (const auto format : {LogFormat::json, LogFormat::text}) {
            const Capture capture(LogLevel::trace, format);
            infra::log_info("value", {{"value", "\x1b[31m\n\xC2\x9B\x7f"}});
            const std::string text = capture.text();
            CHECK(text.find('\x1b') == std::string::npos);
            CHECK(text.find('\x7f') == std::string::npos);
            CHECK(text.find("\xC2\x9B") == std::string::npos);
            CHECK(text.find('\n') == text.size() - 1);
        }
    }

    TEST_CASE("a value is cut at 1 KiB, not inside a character")
    {
        CHECK(logged_value(std::string(1024, 'x')) == std::string(1024, 'x'));
        CHECK(logged_value(std::string(1025, 'x')) == std::string(1024, 'x') + "\xE2\x80\xA6");
        const std::string cut = logged_value(std::string(1023, 'x') + "\xC3\xA4");
        CHECK(cut == std::string(1023, 'x') + "\xE2\x80\xA6");
    }

    TEST_CASE("numbers without a JSON form are null")
    {
        const Capture capture;
        infra::log_info("numbers", {{"nan", std::nan("")},
                                    {"inf", -std::numeric_limits<double>::infinity()},
                                    {"large", 1e300},
                                    {"none", static_cast<const char*>(nullptr)}});
        const auto line = capture.only_line();
        CHECK(line.at("nan").is_null());
        CHECK(line.at("inf").is_null());
        CHECK(line.at("large").as_double() == doctest::Approx(1e300));
        CHECK(line.at("none") == "");
    }

    TEST_CASE("text lines are key=value and quote what needs it")
    {
        const Capture capture(LogLevel::trace, LogFormat::text);
        infra::log_warning("slow request",
                           {{"path", "/events"}, {"agent", "a b"}, {"ms", 12}, {"empty", ""}});
        CHECK(capture.text().substr(24) ==
              " warning  test: slow request path=/events agent=\"a b\" ms=12 empty=\"\"\n");
    }

    TEST_CASE("colour is used only when asked for")
    {
        const Capture capture(LogLevel::trace, LogFormat::text, true);
        infra::log_error("broken", {{"code", 1}});
        CHECK(capture.text().find("\x1b[31merror") != std::string::npos);
    }

    TEST_CASE("the level is obeyed and can change at run time")
    {
        const Capture capture(LogLevel::warning);
        infra::log_info("quiet");
        infra::log_warning("loud");
        CHECK(capture.lines().size() == 1);
        CHECK_FALSE(infra::log_enabled(LogLevel::info));
        infra::set_log_level(LogLevel::trace);
        CHECK(infra::log_level() == LogLevel::trace);
        infra::log_trace("t");
        infra::log_debug("d");
        infra::log_info("i");
        infra::log_critical("c");
        CHECK(capture.lines().size() == 5);
        infra::set_log_level(LogLevel::critical);
        infra::log_error("quiet again");
        CHECK(capture.lines().size() == 5);
        CHECK(capture.lines().back().at("level") == "critical");
    }

    TEST_CASE("repeats are counted and the count is told at the end")
    {
        const Capture capture;
        for (int i = 0; i < 25; ++i) infra::log_warning("retry", {{"i", i}});
        infra::log_error("retry");  // another level is another event
        infra::log_warning("other");
        CHECK(capture.lines().size() == 12);
        infra::flush_logging();
        const auto lines = capture.lines();
        REQUIRE(lines.size() == 13);
        CHECK(lines.back().at("event") == "retry");
        CHECK(lines.back().at("level") == "warning");
        CHECK(lines.back().at("suppressed").as_int64() == 15);
        infra::flush_logging();
        CHECK(capture.lines().size() == 13);
    }

    TEST_CASE("records are never suppressed")
    {
        const Capture capture;
        for (int i = 0; i < 25; ++i) infra::log_record(LogLevel::info, "delivered", {{"i", i}});
        CHECK(capture.lines().size() == 25);
    }

    TEST_CASE("lines of many threads stay whole")
    {
        const Capture capture;
        std::vector<std::thread> threads;
        for (int t = 0; t < 4; ++t) {
            threads.emplace_back([t] {
                for (int i = 0; i < 200; ++i) {
                    infra::log_record(LogLevel::info, "record", {{"thread", t}, {"i", i}});
                    infra::log_info("line", {{"thread", t}});
                }
            });
        }
        for (auto& thread : threads) thread.join();
        infra::flush_logging();
        std::size_t records = 0;
        std::int64_t others = 0;
        for (const auto& line : capture.lines()) {
            if (line.at("event") == "record") {
                ++records;
            } else {
                others += line.contains("suppressed") ? line.at("suppressed").as_int64() : 1;
            }
        }
        CHECK(records == 800);
        CHECK(others == 800);
    }
}

TEST_SUITE("infra/log/repeat_limiter")
{
    TEST_CASE("a file gets JSON Lines from its own level on, and is appended to")
    {
        const Folder folder;
        const auto all = folder.path / "made" / "all.log";
        const auto errors = folder.path / "errors.log";
        std::ostringstream stream;
        for (int turn = 0; turn < 2; ++turn) {
            infra::init_logging(
                {.level = LogLevel::warning,
                 .format = LogFormat::text,
                 .logger = "test",
                 .stream = &stream,
                 .files = {{all.string(), LogLevel::debug}, {errors.string(), LogLevel::error}}});
            CHECK(infra::log_enabled(LogLevel::debug));
            CHECK_FALSE(infra::log_enabled(LogLevel::trace));
            infra::log_debug("small", {{"n", turn}});
            infra::log_error("large", {{"n", turn}});
        }
        infra::init_logging({});
        CHECK_FALSE(infra::log_enabled(LogLevel::debug));
        CHECK(events_in(all) == std::vector<std::string>{"small", "large", "small", "large"});
        CHECK(events_in(errors) == std::vector<std::string>{"large", "large"});
        CHECK(stream.str().find("small") == std::string::npos);
        CHECK(stream.str().find("large") != std::string::npos);
    }

    TEST_CASE("a file that cannot be opened is told")
    {
        const Folder folder;
        CHECK_THROWS(infra::init_logging({.logger = "test", .files = {{folder.path.string()}}}));
        infra::init_logging({});
    }

    TEST_CASE("ten lines in ten seconds pass, the next window begins anew")
    {
        infra::RepeatLimiter limiter;
        const infra::RepeatLimiter::Time start{1000s};
        for (int i = 0; i < 10; ++i) CHECK(limiter.admit(LogLevel::info, "e", start + i * 100ms));
        CHECK_FALSE(limiter.admit(LogLevel::info, "e", start + 5s));
        CHECK_FALSE(limiter.admit(LogLevel::info, "e", start + 9999ms));
        CHECK(limiter.admit(LogLevel::debug, "e", start + 5s));
        CHECK(limiter.take_finished(start + 9999ms).empty());
        CHECK(limiter.take_finished(start + 10s).empty());  // looks once a second
        const auto finished = limiter.take_finished(start + 11s);
        REQUIRE(finished.size() == 1);
        CHECK(finished[0].event == "e");
        CHECK(finished[0].level == LogLevel::info);
        CHECK(finished[0].count == 2);
        CHECK(limiter.admit(LogLevel::info, "e", start + 11s));
        CHECK(limiter.take_all().empty());
    }

    TEST_CASE("a count that nobody took is not lost in the next window")
    {
        infra::RepeatLimiter limiter;
        const infra::RepeatLimiter::Time start{1000s};
        for (int i = 0; i < 12; ++i) limiter.admit(LogLevel::info, "e", start);
        CHECK(limiter.admit(LogLevel::info, "e", start + 10s));
        const auto all = limiter.take_all();
        REQUIRE(all.size() == 1);
        CHECK(all[0].count == 2);
    }
}
