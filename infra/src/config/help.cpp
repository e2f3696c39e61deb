#include "config/option.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace infra {
namespace config {
namespace {

std::string default_of(const Option& option)
{
    if (option.required) return "required";
    return std::string(option.default_note.empty() ? option.default_text : option.default_note);
}

std::string binary_names(BinarySet set)
{
    static constexpr std::pair<BinarySet, std::string_view> names[] = {{api, "api"},
                                                                       {worker, "outbox-worker"},
                                                                       {migrate, "migrate"},
                                                                       {consumer, "consumer"},
                                                                       {propagator, "propagator"}};
    if (set == every_binary) return "all";
    std::vector<std::string_view> shown;
    for (const auto& [binary, name] : names) {
        if ((set & binary) != 0) shown.push_back(name);
    }
    return fmt::format("{}", fmt::join(shown, ", "));
}

std::string help_entry(const Option& option)
{
    std::string head(option.name.empty() ? option.yaml_path : option.name);
    for (const auto alias : option.aliases) head += fmt::format(" ({})", alias);
    std::string entry = option.required ? fmt::format("  {} (required)\n", head)
                                        : fmt::format("  {} = {}\n", head, default_of(option));
    entry += fmt::format("      {}\n      {}", option.help, option.rule.allowed);
    if (!option.name.empty()) entry += fmt::format("; YAML {}", option.yaml_path);
    return entry + '\n';
}

std::string markdown_row(const Option& option)
{
    std::string name = option.name.empty() ? "(YAML only)" : fmt::format("`{}`", option.name);
    for (const auto alias : option.aliases) name += fmt::format(" (`{}`)", alias);
    std::string path = fmt::format("`{}`", option.yaml_path);
    for (const auto alias : option.yaml_aliases) path += fmt::format(" (`{}`)", alias);
    return fmt::format("| {} | {} | {} | {} | {} | {} |\n", name, path, default_of(option),
                       option.rule.allowed, option.help, binary_names(option.used_by));
}

}  // namespace
}  // namespace config

std::string options_help(Binary binary)
{
    std::string text =
        "Configuration, in order of precedence: environment variables; a .env file in the working directory\n"
        "(ENVFILE names another one); the YAML file named by CONFIG_PATH; the defaults shown here.\n"
        "A variable that is set but empty counts as not set. Unknown YAML keys are errors.\n\n";
    for (const auto& option : config::options()) {
        if (option.is_used_by(binary)) text += config::help_entry(option);
    }
    return text;
}

std::string options_markdown()
{
    std::string text =
        "| variable | YAML | default | allowed | meaning | used by |\n|---|---|---|---|---|---|\n";
    for (const auto& option : config::options()) text += config::markdown_row(option);
    return text;
}

}  // namespace infra
