#pragma once

#include "infra/log/level.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

namespace infra {

// Decides which lines of a repeated event are written: the first `lines_max` of a `window`; the others are
// counted and reported when the window is over. Events are string literals, so their number is bounded by the
// program and views of them may be kept. Not thread safe; the caller brings the clock and the lock.
class RepeatLimiter {
public:
    using Time = std::chrono::steady_clock::time_point;

    static constexpr std::size_t lines_max = 10;
    static constexpr std::chrono::seconds window{10};

    struct Suppressed {
        LogLevel level = LogLevel::info;
        std::string_view event;
        std::uint64_t count = 0;
    };

    // True when the line is to be written.
    bool admit(LogLevel level, std::string_view event, Time now);

    // What was suppressed in windows that are over at `now`. Cheap when called often: it looks once a second.
    std::vector<Suppressed> take_finished(Time now);

    // Everything suppressed and not yet reported.
    std::vector<Suppressed> take_all();

private:
    struct Window {
        Time start;
        std::size_t lines = 0;
        std::uint64_t suppressed = 0;
    };

    std::vector<Suppressed> take(const std::function<bool(const Window&)>& is_due);

    std::map<std::pair<LogLevel, std::string_view>, Window> windows_;
    Time next_look_{};
};

}  // namespace infra
