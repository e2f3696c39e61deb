#include "startup.hpp"

#include "infra/cli.hpp"
#include "infra/log/log.hpp"
#include "infra/pg/migrator.hpp"

#include <iostream>

namespace polis {
namespace {

std::vector<infra::LogFile> log_files(const infra::Config& config)
{
    std::vector<infra::LogFile> files;
    for (const auto& [place, file] : config.log.files) files.push_back(file);
    return files;
}

}  // namespace

int guarded(const std::string& logger, const infra::Config& config, const std::function<int()>& program)
{
    int code = infra::exit_failed;
    try {
        infra::init_logging({.level = config.log.level,
                             .format = config.log.format,
                             .logger = config.log.name.empty() ? logger : config.log.name,
                             .colour = config.log.colour,
                             .files = log_files(config)});
        code = program();
    } catch (const std::exception& error) {
        infra::log_critical("cannot go on",
                            {{"reason", error.what()}, {"database", config.database.redacted_url()}});
    }
    infra::flush_logging();
    return code;
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
