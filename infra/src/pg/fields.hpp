#pragma once

#include "domain/ids.hpp"

#include <libpq-fe.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <optional>

// What a result says: columns of a text result that the statement declares to be of that kind, and its count.
namespace infra::pg {

inline std::int64_t integer(const PGresult* result, int row, int column)
{
    return std::strtoll(PQgetvalue(result, row, column), nullptr, 10);
}

inline domain::Uuid uuid_at(const PGresult* result, int row, int column)
{
    return domain::parse_uuid(PQgetvalue(result, row, column)).value();
}

// Microseconds since the epoch.
inline domain::TimePoint time_at(const PGresult* result, int row, int column)
{
    return domain::TimePoint{std::chrono::microseconds{integer(result, row, column)}};
}

inline std::optional<domain::TimePoint> optional_time(const PGresult* result, int row, int column)
{
    if (PQgetisnull(result, row, column) != 0) return std::nullopt;
    return time_at(result, row, column);
}

// libpq asks for a result that may change and does not change it.
inline std::uint64_t rows_affected(const PGresult* result)
{
    return std::strtoull(PQcmdTuples(const_cast<PGresult*>(result)), nullptr, 10);
}

}  // namespace infra::pg
