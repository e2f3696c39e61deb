#include "config/option.hpp"
#include "config/rules.hpp"

#include <algorithm>

// The options of logging.
namespace infra::config {
namespace {

const Names<LogLevel>& levels()
{
    static const Names<LogLevel> names{{"trace", LogLevel::trace}, {"debug", LogLevel::debug},
                                       {"info", LogLevel::info},   {"warning", LogLevel::warning},
                                       {"error", LogLevel::error}, {"critical", LogLevel::critical}};
    return names;
}

const Names<LogLevel>& short_levels()
{
    static const Names<LogLevel> names{{"warn", LogLevel::warning}, {"err", LogLevel::error}};
    return names;
}

std::string store_file(Config& config, std::string_view value, std::string_view key)
{
    if (value.empty()) return "must be the path of a file";
    config.log.files[std::string(key)].path = value;
    return {};
}

// It stands in every line, on terminals, too.
std::string check_name(std::string& name)
{
    constexpr std::size_t name_bytes_max = 100;
    const bool printable = std::all_of(
        name.begin(), name.end(), [](char c) { return static_cast<unsigned char>(c) >= 0x20 && c != 0x7F; });
    return printable && name.size() <= name_bytes_max
               ? ""
               : "must be at most 100 bytes without control characters";
}

// Its row stands after that of the file's name, so a file without a name is found here.
Rule file_level()
{
    auto rule = one_of_by_key<LogLevel>(levels(), short_levels(),
                                        [](Config& config, std::string_view key, LogLevel level) {
                                            config.log.files[std::string(key)].level = level;
                                        });
    rule.store = [store = rule.store](Config& config, std::string_view value, std::string_view key) {
        if (!config.log.files.contains(std::string(key))) return std::string("must stand beside a filename");
        return store(config, value, key);
    };
    return rule;
}

}  // namespace

std::vector<Option> log_options()
{
    return {
        {.name = "LOG_LEVEL",
         .yaml_path = "log.level",
         .yaml_aliases = {"logging.level"},
         .default_text = "info",
         .rule = one_of<LogLevel>(
             levels(), short_levels(), [](Config & c) -> auto& { return c.log.level; }),
         .help = "Least severe level that is logged."},
        {.name = "LOG_FORMAT",
         .yaml_path = "log.format",
         .default_note = "text on a terminal, else json",
         .rule = one_of<LogFormat>(
             {{"json", LogFormat::json}, {"text", LogFormat::text}}, {},
             [](Config & c) -> auto& { return c.log.format; }),
         .help = "JSON Lines or text for people, on standard error."},
        {.yaml_path = "log.files.*.filename",
         .yaml_aliases = {"logging.files.*.filename"},
         .default_note = "no file",
         .rule = {"path of a file", store_file},
         .help = "`log.files` is a list: each file gets JSON Lines, too, and is only appended to."},
        {.yaml_path = "log.files.*.level",
         .yaml_aliases = {"logging.files.*.level"},
         .default_note = "LOG_LEVEL",
         .rule = file_level(),
         .help = "Least severe level of that file."},
        {.yaml_path = "name",
         .default_note = "the program",
         .rule = text(
             "text", Shown::plain, check_name, [](Config & c) -> auto& { return c.log.name; }),
         .help = "Name of this installation: the `logger` of its log lines."},
    };
}

}  // namespace infra::config
