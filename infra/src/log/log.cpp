#include "infra/log/log.hpp"

#include "infra/log/repeat_limiter.hpp"
#include "infra/trace/tracer.hpp"
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
#include <stdexcept>

namespace infra {
namespace {

struct FileOutput {
    LogFile file;
    std::shared_ptr<spdlog::logger> logger;
};

// What a line needs to be written; replaced as a whole.
struct Output {
    std::shared_ptr<spdlog::logger> logger;
    std::string name;
    LogFormat format = LogFormat::json;
    bool colour = false;
    std::vector<FileOutput> files;
};

std::shared_ptr<spdlog::logger> make_logger(const std::string& name,
                                            std::shared_ptr<spdlog::sinks::sink> sink)
{
    auto logger = std::make_shared<spdlog::logger>(name, std::move(sink));
    // Lines arrive complete; the level was checked before a line was built.
    logger->set_pattern("%v");
    logger->set_level(spdlog::level::trace);
    return logger;
}

FileOutput open_file(const std::string& name, const LogFile& file)
{
    try {
        auto logger = make_logger(name, std::make_shared<spdlog::sinks::basic_file_sink_mt>(file.path));
        logger->flush_on(spdlog::level::trace);  // a line in a buffer helps nobody after a crash
        return {file, std::move(logger)};
    } catch (const spdlog::spdlog_ex&) {
        throw std::runtime_error("cannot open the log file " + file.path);
    }
}

std::shared_ptr<const Output> make_output(const LogOptions& options)
{
    std::shared_ptr<spdlog::sinks::sink> sink;
    if (options.stream != nullptr) {
        sink = std::make_shared<spdlog::sinks::ostream_sink_mt>(*options.stream);
    } else {
        sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
    }
    auto output = std::make_shared<Output>(Output{
        make_logger(options.logger, std::move(sink)), options.logger, options.format, options.colour, {}});
    for (const auto& file : options.files) output->files.push_back(open_file(options.logger, file));
    return output;
}

struct State {
    std::atomic<LogLevel> level{LogLevel::info};  // of standard error
    std::atomic<LogLevel> least{LogLevel::info};  // of everything
    std::mutex mutex;                             // guards the rest
    std::shared_ptr<const Output> output = make_output({});
    RepeatLimiter limiter;
};

// Never destroyed: a thread that outlives main() may still log.
State& state()
{
    static State& instance = *new State;
    return instance;
}

void put(spdlog::logger& logger, const std::string& text)
{
    logger.log(spdlog::level::critical, spdlog::string_view_t(text.data(), text.size()));
}

void write(const Output& output, const log::Line& line)
{
    thread_local std::string buffer;
    const bool json = output.format == LogFormat::json;
    if (line.level >= state().level.load(std::memory_order_relaxed)) {
        buffer.clear();
        json ? log::append_json(buffer, line) : log::append_text(buffer, line, output.colour);
        put(*output.logger, buffer);
    }
    if (output.files.empty()) return;
    buffer.clear();
    log::append_json(buffer, line);
    for (const auto& [file, logger] : output.files) {
        if (line.level >= file.level) put(*logger, buffer);
    }
}

LogLevel least_of(LogLevel level, const Output& output)
{
    for (const auto& [file, logger] : output.files) level = std::min(level, file.level);
    return level;
}

std::string current_trace_id()
{
    const auto* const at = trace::current();
    return at == nullptr ? std::string() : trace::trace_id_text(*at);
}

void write_suppressed(const Output& output, const std::vector<RepeatLimiter::Suppressed>& repeats)
{
    for (const auto& repeat : repeats) {
        write(output, {std::chrono::system_clock::now(),
                       repeat.level,
                       output.name,
                       repeat.event,
                       {},
                       repeat.count,
                       {}});
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
    state().output = std::move(output);
    state().limiter = RepeatLimiter();
    state().level = options.level;
    state().least = least_of(options.level, *state().output);
}

bool reopen_log_files()
{
    std::unique_lock lock(state().mutex);
    auto output = std::make_shared<Output>(*state().output);
    lock.unlock();
    bool failed = false;
    for (auto& file : output->files) {
        try {
            file = open_file(output->name, file.file);
        } catch (const std::runtime_error&) {
            failed = true;
        }
    }
    const bool any = !output->files.empty();
    lock.lock();
    state().output = std::move(output);
    lock.unlock();
    if (failed) log_error("log file not reopened");
    return any;
}

void flush_logging()
{
    std::unique_lock lock(state().mutex);
    const auto output = state().output;
    const auto repeats = state().limiter.take_all();
    lock.unlock();
    write_suppressed(*output, repeats);
    output->logger->flush();
}

LogLevel log_level() { return state().least.load(std::memory_order_relaxed); }

void set_log_level(LogLevel level)
{
    const std::lock_guard lock(state().mutex);
    state().level = level;
    state().least = least_of(level, *state().output);
}

bool log_enabled(LogLevel level) { return level >= log_level(); }

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
        const auto trace_id = current_trace_id();
        write(*output,
              {std::chrono::system_clock::now(), level, output->name, event.text(), fields, 0, trace_id});
    }
}

void log_record(LogLevel level, LogEvent event, LogFields fields)
{
    if (!log_enabled(level)) return;
    std::unique_lock lock(state().mutex);
    const auto output = state().output;
    lock.unlock();
    const auto trace_id = current_trace_id();
    write(*output,
          {std::chrono::system_clock::now(), level, output->name, event.text(), fields, 0, trace_id});
}

}  // namespace infra
