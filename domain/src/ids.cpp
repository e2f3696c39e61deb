#include "domain/ids.hpp"

#include <boost/uuid/name_generator_sha1.hpp>
#include <boost/uuid/uuid_io.hpp>

#include <algorithm>
#include <array>
#include <cstdio>

namespace domain {
namespace {

constexpr std::uint64_t ticks_per_ms = 4096;
constexpr std::uint64_t random_mask = (std::uint64_t{1} << 54) - 1;

// Namespace of key digests; an arbitrary constant of ours that must never change.
constexpr Uuid key_namespace = {
    {0x8f, 0x1d, 0x5a, 0x3c, 0x0b, 0x62, 0x4e, 0x0f, 0x9a, 0x77, 0x21, 0x6c, 0xd4, 0x38, 0xee, 0x05}};

bool is_hex_digit(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

std::uint8_t hex_value(char c)
{
    if (c <= '9') return static_cast<std::uint8_t>(c - '0');
    return static_cast<std::uint8_t>((c | 0x20) - 'a' + 10);
}

}  // namespace

IdTick id_tick_at(TimePoint time)
{
    const auto us = static_cast<std::uint64_t>(time.time_since_epoch().count());
    return us / 1000 * ticks_per_ms + us % 1000 * ticks_per_ms / 1000;
}

Uuid family_id(IdTick tick, std::uint64_t random)
{
    const std::uint64_t ms = tick / ticks_per_ms;
    const std::uint64_t fraction = tick % ticks_per_ms;
    const std::uint64_t tail = random & random_mask;
    Uuid id{};
    for (unsigned i = 0; i < 6; ++i) id.data[i] = static_cast<std::uint8_t>(ms >> (40 - 8 * i));
    id.data[6] = static_cast<std::uint8_t>(0x70 | (fraction >> 8));
    id.data[7] = static_cast<std::uint8_t>(fraction);
    id.data[8] = static_cast<std::uint8_t>(0x80 | (tail >> 48));
    for (unsigned i = 0; i < 6; ++i) id.data[9 + i] = static_cast<std::uint8_t>(tail >> (40 - 8 * i));
    return id;
}

Uuid family_member(const Uuid& base, unsigned ordinal)
{
    Uuid id = base;
    id.data[15] = static_cast<std::uint8_t>(ordinal);
    return id;
}

Uuid family_base(const Uuid& id) { return family_member(id, 0); }

unsigned family_ordinal(const Uuid& id) { return id.data[15]; }

IdTick id_tick(const Uuid& id)
{
    std::uint64_t ms = 0;
    for (unsigned i = 0; i < 6; ++i) ms = ms << 8 | id.data[i];
    const std::uint64_t fraction = static_cast<std::uint64_t>(id.data[6] & 0x0F) << 8 | id.data[7];
    return ms * ticks_per_ms + fraction;
}

TimePoint id_time(const Uuid& id)
{
    return TimePoint{std::chrono::milliseconds{static_cast<std::int64_t>(id_tick(id) / ticks_per_ms)}};
}

Uuid first_id_at(TimePoint time)
{
    return family_id(id_tick_at(std::chrono::floor<std::chrono::milliseconds>(time)), 0);
}

std::optional<Uuid> parse_uuid(std::string_view text)
{
    if (text.size() != 36) return std::nullopt;
    Uuid id{};
    std::size_t byte = 0;
    for (std::size_t i = 0; i < text.size();) {
        if (i == 8 || i == 13 || i == 18 || i == 23) {
            if (text[i] != '-') return std::nullopt;
            ++i;
            continue;
        }
        if (!is_hex_digit(text[i]) || !is_hex_digit(text[i + 1])) return std::nullopt;
        id.data[byte++] = static_cast<std::uint8_t>(hex_value(text[i]) << 4 | hex_value(text[i + 1]));
        i += 2;
    }
    return id;
}

std::string to_string(const Uuid& id) { return boost::uuids::to_string(id); }

Uuid key_digest(std::string_view service, std::string_view key)
{
    std::string name;
    name.reserve(service.size() + 1 + key.size());
    name.append(service).push_back('\0');
    name.append(key);
    return boost::uuids::name_generator_sha1{key_namespace}(name);
}

std::string format_time(TimePoint time)
{
    const auto day = std::chrono::floor<std::chrono::days>(time);
    const std::chrono::year_month_day date{day};
    const std::chrono::hh_mm_ss clock{time - day};
    std::array<char, 40> text{};
    int size =
        std::snprintf(text.data(), text.size(), "%04d-%02u-%02uT%02d:%02d:%02d",
                      static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                      static_cast<unsigned>(date.day()), static_cast<int>(clock.hours().count()),
                      static_cast<int>(clock.minutes().count()), static_cast<int>(clock.seconds().count()));
    if (const auto us = clock.subseconds().count(); us != 0) {
        const auto at = static_cast<std::size_t>(size);
        size += std::snprintf(text.data() + at, text.size() - at, ".%06d", static_cast<int>(us));
        while (text[static_cast<std::size_t>(size) - 1] == '0') --size;
    }
    return std::string(text.data(), static_cast<std::size_t>(size)) + "Z";
}

namespace {

// Reads exactly `digits` decimal digits at `at` and moves on.
std::optional<int> read_digits(std::string_view text, std::size_t& at, std::size_t digits)
{
    if (text.size() < at + digits) return std::nullopt;
    int value = 0;
    for (std::size_t i = 0; i < digits; ++i) {
        const char c = text[at + i];
        if (c < '0' || c > '9') return std::nullopt;
        value = value * 10 + (c - '0');
    }
    at += digits;
    return value;
}

bool read_char(std::string_view text, std::size_t& at, std::string_view allowed)
{
    if (at >= text.size() || allowed.find(text[at]) == std::string_view::npos) return false;
    ++at;
    return true;
}

// ".123456789": digits beyond microseconds are cut.
std::optional<std::chrono::microseconds> read_fraction(std::string_view text, std::size_t& at)
{
    if (at >= text.size() || text[at] != '.') return std::chrono::microseconds{0};
    ++at;
    std::int64_t us = 0;
    std::size_t count = 0;
    for (; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at, ++count) {
        if (count < 6) us = us * 10 + (text[at] - '0');
    }
    if (count == 0) return std::nullopt;
    for (; count < 6; ++count) us *= 10;
    return std::chrono::microseconds{us};
}

std::optional<std::chrono::minutes> read_offset(std::string_view text, std::size_t& at)
{
    if (read_char(text, at, "Zz")) return std::chrono::minutes{0};
    if (at >= text.size()) return std::nullopt;
    const bool west = text[at] == '-';
    if (!read_char(text, at, "+-")) return std::nullopt;
    const auto hours = read_digits(text, at, 2);
    if (!hours || *hours > 23 || !read_char(text, at, ":")) return std::nullopt;
    const auto minutes = read_digits(text, at, 2);
    if (!minutes || *minutes > 59) return std::nullopt;
    const std::chrono::minutes offset{*hours * 60 + *minutes};
    return west ? -offset : offset;
}

}  // namespace

std::optional<TimePoint> parse_time(std::string_view text)
{
    using namespace std::chrono;
    std::size_t at = 0;
    const auto y = read_digits(text, at, 4);
    if (!y || !read_char(text, at, "-")) return std::nullopt;
    const auto mon = read_digits(text, at, 2);
    if (!mon || !read_char(text, at, "-")) return std::nullopt;
    const auto d = read_digits(text, at, 2);
    if (!d || !read_char(text, at, "Tt ")) return std::nullopt;
    const auto h = read_digits(text, at, 2);
    if (!h || *h > 23 || !read_char(text, at, ":")) return std::nullopt;
    const auto min = read_digits(text, at, 2);
    if (!min || *min > 59 || !read_char(text, at, ":")) return std::nullopt;
    const auto s = read_digits(text, at, 2);
    if (!s || *s > 60) return std::nullopt;
    const auto fraction = read_fraction(text, at);
    if (!fraction) return std::nullopt;
    const auto offset = read_offset(text, at);
    if (!offset || at != text.size()) return std::nullopt;
    const year_month_day date{year{*y}, month{static_cast<unsigned>(*mon)}, day{static_cast<unsigned>(*d)}};
    if (!date.ok()) return std::nullopt;
    const TimePoint time =
        sys_days{date} + hours{*h} + minutes{*min} + seconds{std::min(*s, 59)} + *fraction - *offset;
    // The offset may have moved the time across either bound.
    constexpr TimePoint beyond = sys_days{year{10000} / January / 1};
    if (time < TimePoint{} || time >= beyond) return std::nullopt;
    return time;
}

}  // namespace domain
