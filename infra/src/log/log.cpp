#include "infra/log/log.hpp"

#include "infra/log/repeat_limiter.hpp"
#include "log/line_format.hpp"

#include <spdlog/logger.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <memory>
#include <mutex>

namespace infra {
namespace {

// What a line needs to be written; replaced as a whole by init_logging().
struct Target {
    std::shared_ptr<spdlog::logger> logger;
    LogFormat format = LogFormat::json;
    bool colour = false;
    std::optional<LogLevel> level = {};  // empty = that of the process
};

struct Output {
    std::vector<Target> targets;
    std::string name;
};

std::shared_ptr<spdlog::logger> make_logger(std::shared_ptr<spdlog::sinks::sink> sink)
{
    auto logger = std::make_shared<spdlog::logger>("", std::move(sink));
    // Lines arrive complete; the level was checked before a line was built.
    logger->set_pattern("%v");
    logger->set_level(spdlog::level::trace);
    return logger;
}

std::shared_ptr<const Output> make_output(const LogOptions& options)
{
    std::shared_ptr<spdlog::sinks::sink> sink;
    if (options.stream != nullptr) {
        sink = std::make_shared<spdlog::sinks::ostream_sink_mt>(*options.stream);
    } else {
        sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
    }
    std::vector<Target> targets{{make_logger(std::move(sink)), options.format, options.colour}};
    for (const auto& file : options.files) {
        auto logger = make_logger(std::make_shared<spdlog::sinks::basic_file_sink_mt>(file.path));
        logger->flush_on(spdlog::level::trace);
        targets.push_back({std::move(logger), LogFormat::json, false, file.level});
    }
    return std::make_shared<Output>(Output{std::move(targets), options.logger});
}

struct State {
    std::atomic<LogLevel> level{LogLevel::info};
    std::atomic<LogLevel> lowest{LogLevel::info};  // that any target wants
    std::mutex mutex;                              // guards the rest
    std::shared_ptr<const Output> output = make_output({});
    RepeatLimiter limiter;
};

// Never destroyed: a thread that outlives main() may still log.
State& state()
{
    static State& instance = *new State;
    return instance;
}

void write(const Target& target, const log::Line& line)
{
    thread_local std::string buffer;
    buffer.clear();
    if (target.format == LogFormat::json) {
        log::append_json(buffer, line);
    } else {
        log::append_text(buffer, line, target.colour);
    }
    target.logger->log(spdlog::level::critical, spdlog::string_view_t(buffer.data(), buffer.size()));
}

void write(const Output& output, const log::Line& line)
{
    for (const auto& target : output.targets) {
        if (line.level >= target.level.value_or(log_level())) write(target, line);
    }
}

LogLevel lowest_level(const Output& output, LogLevel level)
{
    for (const auto& target : output.targets) level = std::min(level, target.level.value_or(level));
    return level;
}

void write_suppressed(const Output& output, const std::vector<RepeatLimiter::Suppressed>& repeats)
{
    for (const auto& repeat : repeats) {
        write(output,
              {std::chrono::system_clock::now(), repeat.level, output.name, repeat.event, {}, repeat.count});
    }
}

}  // namespace

std::string_view to_string(LogLevel level)
{
    static constexpr std::array<std::string_view, 6> names{"trace",   "debug", "info",
                                                           "warning", "error", "critical"};
    return names[static_cast<std::size_t>(level)];
}

void init_logging(const LogOptions& options)
{
    flush_logging();
    auto output = make_output(options);
    const std::lock_guard lock(state().mutex);
    state().lowest = lowest_level(*output, options.level);
    state().output = std::move(output);
    state().limiter = RepeatLimiter();
    state().level = options.level;
}

void flush_logging()
{
    std::unique_lock lock(state().mutex);
    const auto output = state().output;
    const auto repeats = state().limiter.take_all();
    lock.unlock();
    write_suppressed(*output, repeats);
    for (const auto& target : output->targets) target.logger->flush();
}

LogLevel log_level() { return state().level.load(std::memory_order_relaxed); }

void set_log_level(LogLevel level)
{
    const std::lock_guard lock(state().mutex);
    state().lowest = lowest_level(*state().output, level);
    state().level = level;
}

bool log_enabled(LogLevel level) { return level >= state().lowest.load(std::memory_order_relaxed); }

void log_line(LogLevel level, LogEvent event, LogFields fields)
{
    if (!log_enabled(level)) return;
    const auto now = std::chrono::steady_clock::now();
    std::unique_lock lock(state().mutex);
    const auto output = state().output;
    const auto repeats = state().limiter.take_finished(now);
    const bool admitted = state().limiter.admit(level, event.text(), now);
    lock.unlock();
    write_suppressed(*output, repeats);
    if (admitted) {
        write(*output, {std::chrono::system_clock::now(), level, output->name, event.text(), fields, 0});
    }
}

void log_record(LogLevel level, LogEvent event, LogFields fields)
{
    if (!log_enabled(level)) return;
    std::unique_lock lock(state().mutex);
    const auto output = state().output;
    lock.unlock();
    write(*output, {std::chrono::system_clock::now(), level, output->name, event.text(), fields, 0});
}

}  // namespace infra
