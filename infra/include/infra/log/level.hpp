#pragma once

#include <string>

namespace infra {

enum class LogLevel { trace, debug, info, warning, error, critical };

enum class LogFormat { json, text };

// Always JSON Lines, and only ever appended to, so logrotate's copytruncate works, too.
struct LogFile {
    std::string path;  // its folder is made where it is missing
    LogLevel level = LogLevel::info;
};

}  // namespace infra
