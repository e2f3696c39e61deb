#pragma once

#include "domain/ids.hpp"

#include <chrono>

namespace app {

// The time of day as the domain counts it.
inline domain::TimePoint system_now()
{
    return std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now());
}

inline std::chrono::nanoseconds steady_now() { return std::chrono::steady_clock::now().time_since_epoch(); }

}  // namespace app
