#pragma once

#include "infra/config/load.hpp"

#include <functional>
#include <iosfwd>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace infra {

constexpr int exit_fine = 0;
constexpr int exit_failed = 1;
constexpr int exit_bad_configuration = 2;

// A flag of one binary beside --help, --version and --check-config.
struct CliFlag {
    std::string name;  // with its dashes: "--drain"
    std::string help;
    bool needs_config = true;  // false: with this flag the program also runs under a faulty configuration
    // The variable that the flag gives a value to, over the environment: `--rate 5` is LOAD_RATE=5. Empty =
    // the flag has no value.
    std::string setting = {};
    bool has_value = false;  // takes a value that is no setting: CommandLine::value()
};

// A subcommand; a binary that has any is always called with exactly one.
struct CliCommand {
    std::string name;
    std::string help;
    std::string argument = {};  // name of the one argument it requires, empty = none
    bool needs_config = true;
};

struct CliSpec {
    Binary binary = Binary::api;
    std::string program;      // "polis-api"
    std::string description;  // one or two sentences
    std::string version;
    std::vector<CliFlag> flags = {};
    std::vector<CliCommand> commands = {};
    // Looks at what a good value by itself does not show, such as the contents of a named file, and returns
    // every fault. Called with --check-config too, and also where other faults were found.
    std::function<std::vector<std::string>(const Config&)> check = {};
};

struct CommandLine {
    std::optional<int> exit_code;    // set: everything is said, main() returns this
    Config config;                   // valid, unless a flag or command with needs_config = false was given
    std::vector<std::string> flags;  // those of CliSpec::flags that were given
    std::string command;
    std::string argument;

    bool has(std::string_view flag) const;
    // Of a flag with has_value that was given; else empty.
    std::string value(std::string_view flag) const;

    std::map<std::string, std::string, std::less<>> values;
};

// Reads the arguments and the configuration and answers --help, --version and --check-config. Wrong arguments
// and configuration faults are told on `err` and end with exit_bad_configuration. Never throws for user
// input.
CommandLine read_command_line(const CliSpec& spec, int argc, const char* const* argv, const Sources& sources,
                              std::ostream& out, std::ostream& err);

// With the real environment and the standard streams.
CommandLine read_command_line(const CliSpec& spec, int argc, const char* const* argv);

}  // namespace infra
