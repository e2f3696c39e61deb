#pragma once

#include "domain/ids.hpp"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <soci/soci.h>

#include <cstdint>
#include <optional>
#include <string>

namespace infra::pg {

// Empty texts mean any.
struct DeadLetterFilter {
    std::string subscription = {};
    std::string topic = {};
    std::string reason = {};
    std::string since = {};  // RFC 3339, inclusive
    std::string until = {};  // RFC 3339, exclusive
    std::string id = {};
};

constexpr std::int64_t replay_rows_max = 100'000;  // of one request

// Newest first; `after` is the id of the last one seen. Those that are being replayed are left out.
boost::json::array read_dead_letters(soci::session& session, const DeadLetterFilter& filter,
                                     const std::string& after, std::int64_t limit);

// With payload and every try that failed.
std::optional<boost::json::object> read_dead_letter(soci::session& session, const std::string& id);

// Puts dead letters back on the shelf in their order, spaced by the rate; running workers pick them up.
// Returns how many.
std::int64_t replay_dead_letters(soci::session& session, const DeadLetterFilter& filter,
                                 std::optional<double> rate_per_second);

// Keys whose first message failed and is tried again, those with the most waiting first.
boost::json::array read_blocked_keys(soci::session& session, const std::string& subscription,
                                     std::int64_t limit);

enum class Unblock { skip, park };  // the first message, or all that wait

// They become dead letters as soon as a worker sees it. Returns how many.
std::int64_t unblock_key(soci::session& session, const std::string& subscription, std::int64_t key,
                         Unblock what);

}  // namespace infra::pg
