#include "infra/cli.hpp"

#include "config/settings.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <iostream>
#include <map>
#include <memory>

namespace infra {
namespace {

struct FlagState {
    CliFlag flag;
    bool given = false;
    std::string value = {};
};

// The CLI11 application of one call, with the places its callbacks write to.
class Arguments {
public:
    explicit Arguments(const CliSpec& spec) : spec_(spec), app_(spec.description, spec.program)
    {
        app_.set_help_flag();  // our help is longer than CLI11's
        app_.add_flag("-h,--help", help_, "Show this help and exit");
        app_.add_flag("--version", version_, "Show the version and exit");
        app_.add_flag("--check-config", check_config_,
                      "Check the configuration, report every fault and exit");
        // Flags keep pointers to their states: no growth after this line.
        flags_.reserve(spec.flags.size());
        for (const auto& flag : spec.flags) {
            auto& state = flags_.emplace_back(FlagState{flag});
            if (flag.has_value) {
                app_.add_option_function<std::string>(
                    flag.name,
                    [&state](const std::string& value) {
                        state.given = true;
                        state.value = value;
                    },
                    flag.help);
            } else if (flag.setting.empty()) {
                app_.add_flag_callback(
                    flag.name, [given = &state.given] { *given = true; }, flag.help);
            } else {
                app_.add_option(flag.name, state.value, flag.help);
            }
        }
        for (const auto& command : spec.commands) add_command(command);
    }

    Arguments(const Arguments&) = delete;
    Arguments& operator=(const Arguments&) = delete;

    // What is wrong with the arguments, or an empty string.
    std::string parse(int argc, const char* const* argv)
    {
        app_.allow_extras();
        try {
            app_.parse(argc, argv);
        } catch (const CLI::ParseError& e) {
            return help_ ? "" : e.what();
        }
        if (help_ || version_) return {};
        if (const auto extras = app_.remaining(true); !extras.empty()) return unknown(extras.front());
        if (check_config_ || spec_.commands.empty()) return {};
        const auto given = app_.get_subcommands();
        if (given.size() == 1) return missing_argument();
        return given.empty() ? "a command is missing: " + command_names() : "only one command can be given";
    }

    bool wants_help() const { return help_; }
    bool wants_version() const { return version_; }
    bool wants_check() const { return check_config_; }

    std::string usage() const { return app_.help(); }

    bool needs_config() const
    {
        const auto is_free = [](const FlagState& state) { return state.given && !state.flag.needs_config; };
        if (std::any_of(flags_.begin(), flags_.end(), is_free)) return false;
        const auto* const command = given_command();
        return command == nullptr || command->needs_config;
    }

    void fill(CommandLine& line) const
    {
        for (const auto& state : flags_) {
            if (state.given) line.flags.push_back(state.flag.name);
            if (state.flag.has_value && state.given) line.values.emplace(state.flag.name, state.value);
        }
        if (const auto* const command = given_command(); command != nullptr) line.command = command->name;
        line.argument = argument_;
    }

    // The environment under what the flags say.
    Sources with_settings(Sources sources) const
    {
        std::map<std::string, std::string> given;
        for (const auto& state : flags_) {
            if (!state.value.empty() && !state.flag.setting.empty())
                given.insert_or_assign(state.flag.setting, state.value);
        }
        if (given.empty()) return sources;
        sources.env = [given, env = std::move(sources.env)](const std::string& name) {
            const auto at = given.find(name);
            return at == given.end() ? env(name) : std::optional<std::string>(at->second);
        };
        return sources;
    }

private:
    void add_command(const CliCommand& command)
    {
        auto* const sub = app_.add_subcommand(command.name, command.help);
        sub->set_help_flag();
        sub->fallthrough();  // `polis-migrate up --help` works too
        if (!command.argument.empty()) sub->add_option(command.argument, argument_, "Required");
    }

    const CliCommand* given_command() const
    {
        const auto given = app_.get_subcommands();
        if (given.empty()) return nullptr;
        const auto found =
            std::find_if(spec_.commands.begin(), spec_.commands.end(),
                         [&](const auto& command) { return command.name == given.front()->get_name(); });
        return found == spec_.commands.end() ? nullptr : &*found;
    }

    std::string missing_argument() const
    {
        const auto* const command = given_command();
        if (command == nullptr || command->argument.empty() || !argument_.empty()) return {};
        return fmt::format("the command {} needs {}", command->name, command->argument);
    }

    std::string command_names() const
    {
        std::string names;
        for (const auto& command : spec_.commands) (names += names.empty() ? "" : ", ") += command.name;
        return names;
    }

    std::string unknown(const std::string& argument) const
    {
        std::vector<std::string> known{"--help", "--version", "--check-config"};
        for (const auto& flag : spec_.flags) known.push_back(flag.name);
        for (const auto& command : spec_.commands) known.push_back(command.name);
        const auto hint = config::nearest(argument, known);
        return "unknown argument " + config::in_quotes(argument) +
               (hint.empty() ? "" : "; did you mean " + hint + "?");
    }

    const CliSpec& spec_;
    CLI::App app_;
    bool help_ = false;
    bool version_ = false;
    bool check_config_ = false;
    std::vector<FlagState> flags_;
    std::string argument_;
};

void print_help(const CliSpec& spec, const Arguments& arguments, std::ostream& out)
{
    out << arguments.usage() << '\n'
        << options_help(spec.binary)
        << "\nExit codes: 0 fine, 1 failed, 2 bad configuration or wrong arguments.\n";
}

void print_faults(const CliSpec& spec, const std::vector<std::string>& faults, std::ostream& err)
{
    err << fmt::format("{}: the configuration has {} fault{}:\n", spec.program, faults.size(),
                       faults.size() == 1 ? "" : "s");
    for (const auto& fault : faults) err << "  - " << fault << '\n';
    err << "Try " << spec.program << " --help for all options.\n";
}

}  // namespace

bool CommandLine::has(std::string_view flag) const
{
    return std::find(flags.begin(), flags.end(), flag) != flags.end();
}

std::string CommandLine::value(std::string_view flag) const
{
    const auto found = values.find(flag);
    return found == values.end() ? std::string() : found->second;
}

CommandLine read_command_line(const CliSpec& spec, int argc, const char* const* argv, const Sources& sources,
                              std::ostream& out, std::ostream& err)
{
    CommandLine line;
    Arguments arguments(spec);
    const std::string problem = arguments.parse(argc, argv);
    if (!problem.empty()) {
        err << fmt::format("{0}: {1}\nTry {0} --help.\n", spec.program, problem);
        line.exit_code = exit_bad_configuration;
        return line;
    }
    if (arguments.wants_help() || arguments.wants_version()) {
        if (arguments.wants_help()) {
            print_help(spec, arguments, out);
        } else {
            out << spec.program << ' ' << spec.version << '\n';
        }
        line.exit_code = exit_fine;
        return line;
    }
    arguments.fill(line);
    Loaded loaded = load_config(spec.binary, arguments.with_settings(sources));
    if (spec.check) {
        for (auto& fault : spec.check(loaded.config)) loaded.faults.push_back(std::move(fault));
    }
    line.config = std::move(loaded.config);
    if (!loaded.faults.empty() && (arguments.wants_check() || arguments.needs_config())) {
        print_faults(spec, loaded.faults, err);
        line.exit_code = exit_bad_configuration;
    } else if (arguments.wants_check()) {
        out << "configuration is valid\n";
        line.exit_code = exit_fine;
    }
    return line;
}

CommandLine read_command_line(const CliSpec& spec, int argc, const char* const* argv)
{
    return read_command_line(spec, argc, argv, process_sources(), std::cout, std::cerr);
}

}  // namespace infra
