#pragma once

#include <string>

namespace infra {

enum class LogLevel { trace, debug, info, warning, error, critical };

enum class LogFormat { json, text };

// Always JSON Lines.
struct LogFile {
    std::string path;
    LogLevel level = LogLevel::info;
};

}  // namespace infra
