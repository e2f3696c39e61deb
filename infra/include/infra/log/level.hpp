#pragma once

#include <optional>
#include <string>

namespace infra {

enum class LogLevel { trace, debug, info, warning, error, critical };

enum class LogFormat { json, text };

// A file of JSON Lines beside standard error. It is only ever appended to, so logrotate's copytruncate works.
struct LogFile {
    std::string path;                    // its folder is made where it is missing
    std::optional<LogLevel> level = {};  // empty = that of the process
};

}  // namespace infra
