#pragma once

namespace infra {

enum class LogLevel { trace, debug, info, warning, error, critical };

enum class LogFormat { json, text };

}  // namespace infra
