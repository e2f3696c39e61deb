#include "log/line_format.hpp"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <iterator>

namespace infra::log {
namespace {

constexpr std::string_view replacement = "\xEF\xBF\xBD";  // U+FFFD
constexpr std::string_view ellipsis = "\xE2\x80\xA6";     // U+2026

// Length of the well-formed UTF-8 sequence at the start of `text`, or 0 (Unicode 15, table 3-7).
std::size_t sequence_length(std::string_view text)
{
    const auto at = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned char lead = at(0);
    if (lead < 0x80) return 1;
    std::size_t length = 0;
    unsigned char second_min = 0x80;
    unsigned char second_max = 0xBF;
    if (lead >= 0xC2 && lead <= 0xDF) {
        length = 2;
    } else if (lead >= 0xE0 && lead <= 0xEF) {
        length = 3;
        if (lead == 0xE0) second_min = 0xA0;  // overlong
        if (lead == 0xED) second_max = 0x9F;  // surrogates
    } else if (lead >= 0xF0 && lead <= 0xF4) {
        length = 4;
        if (lead == 0xF0) second_min = 0x90;  // overlong
        if (lead == 0xF4) second_max = 0x8F;  // above U+10FFFF
    }
    if (length == 0 || text.size() < length || at(1) < second_min || at(1) > second_max) return 0;
    for (std::size_t i = 2; i < length; ++i) {
        if (at(i) < 0x80 || at(i) > 0xBF) return 0;
    }
    return length;
}

void append_ascii(std::string& out, char c)
{
    switch (c) {
        case '"':
            out += "\\\"";
            return;
        case '\\':
            out += "\\\\";
            return;
        case '\n':
            out += "\\n";
            return;
        case '\r':
            out += "\\r";
            return;
        case '\t':
            out += "\\t";
            return;
        default:
            break;
    }
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7F) {
        fmt::format_to(std::back_inserter(out), "\\u{:04x}", byte);
    } else {
        out += c;
    }
}

// A JSON string, always valid: broken UTF-8 becomes U+FFFD. Control characters, the C1 set too, are escaped,
// so that the same string is harmless on a terminal. The cap counts bytes of input and never splits a
// character.
void append_quoted(std::string& out, std::string_view text)
{
    out += '"';
    std::size_t used = 0;
    while (used < text.size()) {
        const std::size_t length = sequence_length(text.substr(used));
        const std::size_t step = length == 0 ? 1 : length;
        if (used + step > log_value_bytes_max) {
            out += ellipsis;
            break;
        }
        const auto lead = static_cast<unsigned char>(text[used]);
        if (length == 0) {
            out += replacement;
        } else if (length == 1) {
            append_ascii(out, text[used]);
        } else if (length == 2 && lead == 0xC2 && static_cast<unsigned char>(text[used + 1]) < 0xA0) {
            fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<unsigned char>(text[used + 1]));
        } else {
            out += text.substr(used, length);
        }
        used += step;
    }
    out += '"';
}

bool is_bare_word(std::string_view text)
{
    constexpr std::size_t bare_bytes_max = 200;
    if (text.empty() || text.size() > bare_bytes_max) return false;
    for (const char c : text) {
        if (c <= ' ' || c > '~' || c == '"' || c == '=' || c == '\\') return false;
    }
    return true;
}

struct AppendValue {
    std::string& out;
    bool bare_words;

    void operator()(std::string_view text) const
    {
        if (bare_words && is_bare_word(text)) {
            out += text;
        } else {
            append_quoted(out, text);
        }
    }

    void operator()(bool value) const { out += value ? "true" : "false"; }

    void operator()(double value) const
    {
        // JSON has no infinity and no NaN.
        if (std::isfinite(value)) {
            fmt::format_to(std::back_inserter(out), "{}", value);
        } else {
            out += "null";
        }
    }

    void operator()(std::int64_t value) const { out += fmt::format_int(value).c_str(); }
    void operator()(std::uint64_t value) const { out += fmt::format_int(value).c_str(); }
};

// RFC 3339, UTC, milliseconds.
void append_time(std::string& out, std::chrono::system_clock::time_point time)
{
    const auto now = std::chrono::floor<std::chrono::milliseconds>(time);
    const auto day = std::chrono::floor<std::chrono::days>(now);
    const std::chrono::year_month_day date(day);
    const std::chrono::hh_mm_ss clock(now - day);
    fmt::format_to(std::back_inserter(out), "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
                   static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                   static_cast<unsigned>(date.day()), clock.hours().count(), clock.minutes().count(),
                   clock.seconds().count(), clock.subseconds().count());
}

std::string_view colour_of(LogLevel level)
{
    static constexpr std::array<std::string_view, 6> colours{"\x1b[2m",  "\x1b[36m", "\x1b[32m",
                                                             "\x1b[33m", "\x1b[31m", "\x1b[1;31m"};
    return colours[static_cast<std::size_t>(level)];
}

constexpr std::string_view plain = "\x1b[0m";
constexpr std::string_view dim = "\x1b[2m";

}  // namespace

void append_json(std::string& out, const Line& line)
{
    out += R"({"timestamp":")";
    append_time(out, line.time);
    out += R"(","level":")";
    out += to_string(line.level);
    out += R"(","logger":)";
    append_quoted(out, line.logger);
    out += R"(,"event":)";
    append_quoted(out, line.event);
    for (const auto& [name, value] : line.fields) {
        // A field name needs no escapes: LogFieldName admits none.
        ((out += ",\"") += name.text()) += "\":";
        std::visit(AppendValue{out, false}, value.get());
    }
    if (!line.trace_id.empty()) ((out += R"(,"trace_id":")") += line.trace_id) += '"';
    if (line.suppressed != 0) (out += R"(,"suppressed":)") += fmt::format_int(line.suppressed).c_str();
    out += '}';
}

void append_text(std::string& out, const Line& line, bool colour)
{
    append_time(out, line.time);
    out += ' ';
    if (colour) out += colour_of(line.level);
    fmt::format_to(std::back_inserter(out), "{:<8}", to_string(line.level));
    if (colour) out += plain;
    ((((out += ' ') += line.logger) += ": ") += line.event);
    const auto append_name = [&](std::string_view name) {
        out += ' ';
        if (colour) out += dim;
        (out += name) += '=';
        if (colour) out += plain;
    };
    for (const auto& [name, value] : line.fields) {
        append_name(name.text());
        std::visit(AppendValue{out, true}, value.get());
    }
    if (!line.trace_id.empty()) {
        append_name("trace_id");
        out += line.trace_id;
    }
    if (line.suppressed != 0) {
        append_name("suppressed");
        out += fmt::format_int(line.suppressed).c_str();
    }
}

}  // namespace infra::log
