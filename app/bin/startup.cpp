#include "startup.hpp"

#include "infra/cli.hpp"
#include "infra/log/log.hpp"
#include "infra/pg/migrator.hpp"

#include <iostream>
#include <sys/resource.h>

namespace polis {
namespace {

std::vector<infra::LogFile> log_files(const infra::LogConfig& config)
{
    std::vector<infra::LogFile> files;
    for (const auto& [place, file] : config.files)
        files.push_back({file.path, file.level.value_or(config.level)});
    return files;
}

}  // namespace

int guarded(const std::string& logger, const infra::Config& config, const std::function<int()>& program)
{
    infra::LogOptions options{config.log.level, config.log.format,
                              config.log.name.empty() ? logger : config.log.name, config.log.colour};
    infra::init_logging(options);
    options.files = log_files(config.log);
    try {
        infra::init_logging(options);
    } catch (const std::exception& error) {
        infra::log_critical("cannot go on", {{"reason", error.what()}});
        return infra::exit_bad_configuration;
    }
    int code = infra::exit_failed;
    try {
        code = program();
    } catch (const std::exception& error) {
        infra::log_critical("cannot go on",
                            {{"reason", error.what()}, {"database", config.database.redacted_url()}});
    }
    infra::flush_logging();
    return code;
}

void raise_descriptor_limit()
{
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

std::optional<int> check_schema(const infra::Config& config, bool migrate)
{
    infra::pg::Migrator migrator(config.database.url);
    if (migrate) migrator.up();
    const auto faults = migrator.check().faults();
    for (const auto& fault : faults) std::cerr << fault << '\n';
    if (faults.empty()) return std::nullopt;
    return infra::exit_failed;
}

}  // namespace polis
