#pragma once

#include "domain/ids.hpp"

#include <chrono>

namespace app {

// The time of day as the domain counts it.
inline domain::TimePoint system_now()
{
    return std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now());
}

}  // namespace app
