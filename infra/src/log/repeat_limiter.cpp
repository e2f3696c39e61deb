#include "infra/log/repeat_limiter.hpp"

namespace infra {

bool RepeatLimiter::admit(LogLevel level, std::string_view event, Time now)
{
    const auto [entry, is_new] = windows_.try_emplace({level, event}, Window{now, 0, 0});
    Window& state = entry->second;
    if (!is_new && now - state.start >= window) {
        // A count that nobody has taken yet moves into the new window.
        state.start = now;
        state.lines = 0;
    }
    if (state.lines < lines_max) {
        ++state.lines;
        return true;
    }
    ++state.suppressed;
    return false;
}

std::vector<RepeatLimiter::Suppressed> RepeatLimiter::take(const std::function<bool(const Window&)>& is_due)
{
    std::vector<Suppressed> taken;
    for (auto& [key, state] : windows_) {
        if (state.suppressed == 0 || !is_due(state)) continue;
        taken.push_back({key.first, key.second, state.suppressed});
        state.suppressed = 0;
    }
    return taken;
}

std::vector<RepeatLimiter::Suppressed> RepeatLimiter::take_finished(Time now)
{
    if (now < next_look_) return {};
    next_look_ = now + std::chrono::seconds(1);
    return take([now](const Window& state) { return now - state.start >= window; });
}

std::vector<RepeatLimiter::Suppressed> RepeatLimiter::take_all()
{
    return take([](const Window&) { return true; });
}

}  // namespace infra
