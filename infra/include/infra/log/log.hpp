#pragma once

#include "infra/log/level.hpp"

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <iosfwd>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

// Structured logging to standard error: one line an event, written whole. Safe to call from every thread.
//
//     log_info("event stored", {{"service", service}, {"count", count}});
//
// What is logged is decided at compile time: the event and the names of its fields are string literals, so no
// payload, SQL or exception text can become part of them, and names that promise a secret do not compile.
// Values are views that are read before the call returns, at most log_value_bytes_max of each.
namespace infra {

constexpr std::size_t log_value_bytes_max = 1024;

struct LogOptions {
    LogLevel level = LogLevel::info;
    LogFormat format = LogFormat::json;
    std::string logger;              // the program, without the "polis-" prefix
    bool colour = false;             // text format only
    std::ostream* stream = nullptr;  // instead of standard error, for tests; must outlive its use
    std::vector<LogFile> files = {};
};

// A string literal: what is logged.
class LogEvent {
public:
    consteval LogEvent(const char* text) : text_(text) {}  // NOLINT(google-explicit-constructor)

    constexpr std::string_view text() const { return text_; }

private:
    std::string_view text_;
};

// A string literal: the name of a field. Reserved and secret names are compile errors.
class LogFieldName {
public:
    consteval LogFieldName(const char* text) : text_(text)  // NOLINT(google-explicit-constructor)
    {
        for (const std::string_view reserved :
             {"timestamp", "level", "logger", "event", "suppressed", "trace_id"}) {
            if (text_ == reserved) throw "this field name belongs to the logger";
        }
        for (const std::string_view secret : {"password", "secret", "authorization", "cookie", "token",
                                              "api_key", "payload", "body", "sql", "dsn"}) {
            if (text_ == secret) throw "this must not be logged";
        }
        for (const char c : text_) {
            const bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.';
            if (!plain) throw "a field name consists of a-z 0-9 _ .";
        }
    }

    constexpr std::string_view text() const { return text_; }

private:
    std::string_view text_;
};

// One value. Converts from texts, integers, floating-point numbers and bool, and from nothing else: a pointer
// or an enum would be printed as a number that nobody wanted.
class LogValue {
public:
    template <class T>
    requires std::convertible_to<const T&, std::string_view> LogValue(const T& text)
        : value_(view_of(text))  // NOLINT(google-explicit-constructor)
    {
    }

    template <std::same_as<bool> T>
    LogValue(T value) : value_(value)  // NOLINT(google-explicit-constructor)
    {
    }

    template <std::signed_integral T>
    requires(!std::same_as<T, char>) LogValue(T value)
        : value_(static_cast<std::int64_t>(value))  // NOLINT(google-explicit-constructor)
    {
    }

    template <std::unsigned_integral T>
    requires(!std::same_as<T, bool> && !std::same_as<T, char>) LogValue(T value)
        : value_(static_cast<std::uint64_t>(value))  // NOLINT(google-explicit-constructor)
    {
    }

    template <std::floating_point T>
    LogValue(T value) : value_(static_cast<double>(value))  // NOLINT(google-explicit-constructor)
    {
    }

    const auto& get() const { return value_; }

private:
    template <class T>
    static std::string_view view_of(const T& text)
    {
        if constexpr (std::is_pointer_v<T>) {
            if (text == nullptr) return {};
        }
        return text;
    }

    std::variant<std::string_view, std::int64_t, std::uint64_t, double, bool> value_;
};

struct LogField {
    LogFieldName name;
    LogValue value;
};

using LogFields = std::initializer_list<LogField>;

// Before this call lines go to standard error as JSON at level info. May be called again. Throws
// std::runtime_error when a file cannot be opened; then nothing changes.
void init_logging(const LogOptions& options);

// Opens the files anew, for logrotate: what is written after this goes to the new ones. A file that cannot be
// opened stays as it was. Returns whether there are files.
bool reopen_log_files();

// Reports suppressed repeats that are still unreported. For the end of main().
void flush_logging();

LogLevel log_level();                // the least severe one that goes anywhere
void set_log_level(LogLevel level);  // of standard error; at once, for all threads
bool log_enabled(LogLevel level);

// A line that is written while a span is current (infra/trace/tracer.hpp) names its trace in `trace_id`.
// The same event at the same level is written at most ten times in ten seconds; the rest is counted, and one
// line with `suppressed` tells the count.
void log_line(LogLevel level, LogEvent event, LogFields fields = {});

// Never suppressed: for lines that are a result by themselves, such as the messages of the `log:` sink.
void log_record(LogLevel level, LogEvent event, LogFields fields = {});

inline void log_trace(LogEvent event, LogFields fields = {})
{
    if (log_enabled(LogLevel::trace)) log_line(LogLevel::trace, event, fields);
}

inline void log_debug(LogEvent event, LogFields fields = {})
{
    if (log_enabled(LogLevel::debug)) log_line(LogLevel::debug, event, fields);
}

inline void log_info(LogEvent event, LogFields fields = {})
{
    if (log_enabled(LogLevel::info)) log_line(LogLevel::info, event, fields);
}

inline void log_warning(LogEvent event, LogFields fields = {})
{
    if (log_enabled(LogLevel::warning)) log_line(LogLevel::warning, event, fields);
}

inline void log_error(LogEvent event, LogFields fields = {})
{
    if (log_enabled(LogLevel::error)) log_line(LogLevel::error, event, fields);
}

inline void log_critical(LogEvent event, LogFields fields = {})
{
    if (log_enabled(LogLevel::critical)) log_line(LogLevel::critical, event, fields);
}

std::string_view to_string(LogLevel level);

}  // namespace infra
