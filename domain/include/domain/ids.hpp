#pragma once

#include <boost/uuid/uuid.hpp>

#include <chrono>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace domain {

using Uuid = boost::uuids::uuid;
using TimePoint = std::chrono::sys_time<std::chrono::microseconds>;

// Ids are UUIDv7 (RFC 9562): 48 bits of Unix milliseconds, then a 12-bit fraction of the millisecond, so the
// first 60 payload bits are a clock of 244 ns ticks; then random bits; the last byte is the ordinal within a
// family: 0 = the base event, 1..255 = the events derived from it.

// Ticks of 1/4096 ms since the Unix epoch.
using IdTick = std::uint64_t;

constexpr unsigned family_ordinal_max = 255;

IdTick id_tick_at(TimePoint time);
// Base id of a new family. Only the lower 54 bits of `random` are used.
Uuid family_id(IdTick tick, std::uint64_t random);
Uuid family_member(const Uuid& base, unsigned ordinal);
Uuid family_base(const Uuid& id);
unsigned family_ordinal(const Uuid& id);
IdTick id_tick(const Uuid& id);
// Millisecond precision.
TimePoint id_time(const Uuid& id);
// Smallest id that an event of that millisecond or later can have.
Uuid first_id_at(TimePoint time);

// Exactly the 36-character form; anything else is empty.
std::optional<Uuid> parse_uuid(std::string_view text);
std::string to_string(const Uuid& id);

// 128-bit digest of (service, key), the primary key of the dedupe tables. A version 5 UUID: whoever chooses
// keys could at most collide two keys of their own.
Uuid key_digest(std::string_view service, std::string_view key);

// RFC 3339 in UTC with microseconds when they are not zero: 2026-11-21T04:00:00.25Z.
std::string format_time(TimePoint time);
// RFC 3339 with any offset. Empty when it is not one or is outside of the years 1970 to 9999.
std::optional<TimePoint> parse_time(std::string_view text);

}  // namespace domain
