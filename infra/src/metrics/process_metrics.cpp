#include "metrics/process_metrics.hpp"

#include <array>
#include <cstdint>
#include <dirent.h>
#include <fstream>
#include <iterator>
#include <optional>
#include <sstream>
#include <string>
#include <sys/resource.h>
#include <unistd.h>

namespace infra::metrics {
namespace {

// Fields of /proc/self/stat, counted from the one behind the name in brackets (proc(5) numbers them from 3
// on).
enum StatField {
    user_ticks = 11,
    system_ticks = 12,
    threads = 17,
    start_ticks = 19,
    virtual_bytes = 20,
    resident_pages = 21
};
constexpr std::size_t stat_fields = 22;

std::optional<std::array<double, stat_fields>> read_stat()
{
    std::ifstream file("/proc/self/stat");
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    const auto name_end = text.rfind(')');
    if (name_end == std::string::npos) return std::nullopt;
    std::istringstream rest(text.substr(name_end + 1));
    std::array<double, stat_fields> fields{};
    std::string state;
    rest >> state;
    for (std::size_t i = 1; i < stat_fields; ++i) rest >> fields[i];
    if (!rest) return std::nullopt;
    return fields;
}

// When the system started, in seconds of the epoch.
std::optional<double> boot_time()
{
    std::ifstream file("/proc/stat");
    std::string word;
    while (file >> word) {
        double seconds = 0;
        if (word == "btime" && file >> seconds) return seconds;
    }
    return std::nullopt;
}

std::optional<double> open_descriptors()
{
    DIR* directory = opendir("/proc/self/fd");
    if (directory == nullptr) return std::nullopt;
    double count = -3;  // ".", ".." and the directory itself
    while (readdir(directory) != nullptr) ++count;
    closedir(directory);
    return count;
}

void append(std::vector<prometheus::MetricFamily>& families, const char* name, const char* help,
            prometheus::MetricType type, double value)
{
    prometheus::ClientMetric metric;
    if (type == prometheus::MetricType::Counter) {
        metric.counter.value = value;
    } else {
        metric.gauge.value = value;
    }
    families.push_back({name, help, type, {metric}});
}

}  // namespace

void append_process(std::vector<prometheus::MetricFamily>& families)
{
    constexpr auto gauge = prometheus::MetricType::Gauge;
    if (const auto stat = read_stat()) {
        const auto ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
        append(families, "process_cpu_seconds_total", "Processor time used.", prometheus::MetricType::Counter,
               ((*stat)[user_ticks] + (*stat)[system_ticks]) / ticks);
        append(families, "process_resident_memory_bytes", "Memory in use.", gauge,
               (*stat)[resident_pages] * static_cast<double>(sysconf(_SC_PAGESIZE)));
        append(families, "process_virtual_memory_bytes", "Address space in use.", gauge,
               (*stat)[virtual_bytes]);
        append(families, "process_threads", "Threads.", gauge, (*stat)[threads]);
        if (const auto boot = boot_time()) {
            append(families, "process_start_time_seconds", "When the process started, since the epoch.",
                   gauge, *boot + (*stat)[start_ticks] / ticks);
        }
    }
    if (const auto descriptors = open_descriptors()) {
        append(families, "process_open_fds", "Open file descriptors.", gauge, *descriptors);
    }
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        append(families, "process_max_fds", "The limit of open file descriptors.", gauge,
               static_cast<double>(limit.rlim_cur));
    }
}

}  // namespace infra::metrics
