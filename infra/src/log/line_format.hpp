#pragma once

#include "infra/log/log.hpp"

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace infra::log {

struct Line {
    std::chrono::system_clock::time_point time;
    LogLevel level = LogLevel::info;
    std::string_view logger;
    std::string_view event;
    LogFields fields;
    std::uint64_t suppressed = 0;  // not 0: this line stands for so many others
    std::string_view trace_id = {};
};

// Both append to `out` and write no line end.
void append_json(std::string& out, const Line& line);
void append_text(std::string& out, const Line& line, bool colour);

}  // namespace infra::log
