#pragma once

#include "infra/config/config.hpp"

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace infra {

enum class Binary { api, worker, migrate, consumer, propagator };

// Where configuration comes from. Tests pass their own; programs pass process_sources().
struct Sources {
    std::function<std::optional<std::string>(const std::string&)> env;
    std::filesystem::path working_directory;
    bool stderr_is_terminal = false;
    // Names allowed below `rules:` in the YAML file; empty = any name.
    std::vector<std::string> rule_names;
};

// The real environment, the current directory and the real standard error.
Sources process_sources();

struct Loaded {
    Config config;                    // meaningful only when there are no faults
    std::vector<std::string> faults;  // every fault found, one sentence each, free of secrets
};

// Reads environment > .env file > YAML file > defaults. Never throws for what a user wrote: that is a fault.
Loaded load_config(Binary binary, const Sources& sources);

// The options of one binary for --help, and of all binaries as the README's Markdown table. Both come from
// the same table that load_config() reads.
std::string options_help(Binary binary);
std::string options_markdown();

}  // namespace infra
