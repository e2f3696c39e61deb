#include "infra/config/load.hpp"

#include "config/combinations.hpp"
#include "config/option.hpp"
#include "config/settings.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>
#include <system_error>
#include <unistd.h>

namespace infra {
namespace config {
namespace {

struct Given {
    std::string name;  // the variable or YAML path by which it was given
    std::string value;
    std::string origin;
    std::string key;  // what `*` of the YAML path stood for
};

// The part of a bad value that a message may show.
std::string shown_value(const Option& option, const std::string& value)
{
    switch (option.rule.shown) {
        case Shown::secret:
            return {};
        case Shown::url: {
            // User names, paths and queries of URLs may be secret, also in a URL that lost its scheme.
            const bool may_hold_secrets = value.find_first_of("@/?") != std::string::npos;
            return " = " + in_quotes(may_hold_secrets ? redacted_http_url(value) : value);
        }
        case Shown::plain:
            return " = " + in_quotes(value);
    }
    return {};
}

// One run of load_config().
class Loader {
public:
    Loader(Binary binary, const Sources& sources) : binary_(binary), sources_(sources) {}

    Loaded run()
    {
        read_env_file();
        read_yaml_file();
        apply_options();
        report_missing();
        apply_subscriptions();
        derive();
        // Rules between options are checked only on values that are good by themselves.
        if (loaded_.faults.empty()) loaded_.faults = combination_faults(binary_, loaded_.config);
        return std::move(loaded_);
    }

private:
    void fault(std::string text) { loaded_.faults.push_back(std::move(text)); }

    std::filesystem::path absolute(const std::string& path) const
    {
        return sources_.working_directory / path;
    }

    void read_env_file()
    {
        const auto named = sources_.env("ENVFILE");
        const bool is_named = named && !trimmed(*named).empty();
        const std::string name = is_named ? trimmed(*named) : ".env";
        std::error_code ignored;
        if (!is_named && !std::filesystem::is_regular_file(absolute(name), ignored)) return;
        FileText file = read_config_file(absolute(name));
        if (!file.fault.empty()) {
            fault(is_named ? "ENVFILE = " + in_quotes(name) + ": the file " + file.fault
                           : name + ": the file " + file.fault);
            return;
        }
        env_file_name_ = name;
        env_file_ = parse_env_file(file.text, name);
        for (auto& problem : env_file_.faults) fault(std::move(problem));
    }

    void read_yaml_file()
    {
        const auto path = given_by_variable("CONFIG_PATH");
        if (!path || path->value.empty()) return;
        FileText file = read_config_file(absolute(path->value));
        if (!file.fault.empty()) {
            fault("CONFIG_PATH = " + in_quotes(path->value) + " (" + path->origin + "): the file " +
                  file.fault);
            return;
        }
        yaml_ = parse_yaml_file(file.text, path->value);
        for (auto& problem : yaml_.faults) fault(std::move(problem));
    }

    std::optional<Given> in_environment(const std::string& name) const
    {
        auto value = sources_.env(name);
        if (!value) return std::nullopt;
        return Given{name, trimmed(*value), "environment", {}};
    }

    std::optional<Given> in_env_file(const std::string& name) const
    {
        const auto found = env_file_.entries.find(name);
        if (found == env_file_.entries.end()) return std::nullopt;
        return Given{
            name, trimmed(found->second.value), fmt::format("{}:{}", env_file_name_, found->second.line), {}};
    }

    // The first of the two sources that has a value; an empty one only when nothing else is there.
    std::optional<Given> given_by_variable(const std::string& name) const
    {
        auto given = in_environment(name);
        if (given && !given->value.empty()) return given;
        auto from_file = in_env_file(name);
        return from_file && !from_file->value.empty() ? from_file : given ? given : from_file;
    }

    std::optional<Given> given_by_variables(const Option& option) const
    {
        if (option.name.empty()) return std::nullopt;
        std::vector<std::string> names{std::string(option.name)};
        names.insert(names.end(), option.aliases.begin(), option.aliases.end());
        std::optional<Given> empty;
        // A source outranks the next one whichever name it uses.
        for (const auto source : {&Loader::in_environment, &Loader::in_env_file}) {
            for (const auto& name : names) {
                auto given = (this->*source)(name);
                if (given && !given->value.empty()) return given;
                if (given && !empty) empty = std::move(given);
            }
        }
        return empty;
    }

    std::vector<Given> given_by_yaml(const Option& option) const
    {
        std::vector<Given> found;
        add_given(option, option.yaml_path, found);
        for (const auto alias : option.yaml_aliases) add_given(option, alias, found);
        return found;
    }

    void add_given(const Option& option, std::string_view yaml_path, std::vector<Given>& found) const
    {
        const auto wanted = split_path(yaml_path);
        for (const auto& setting : yaml_.settings) {
            if (setting.path.size() != wanted.size()) continue;
            std::string key;
            bool matches = true;
            for (std::size_t i = 0; i < wanted.size() && matches; ++i) {
                if (wanted[i] == "*") {
                    key = setting.path[i];
                } else {
                    matches = wanted[i] == setting.path[i];
                }
            }
            if (!matches) continue;
            const std::string path = fmt::format("{}", fmt::join(setting.path, "."));
            const std::string name = option.name.empty() ? path : fmt::format("{} ({})", option.name, path);
            found.push_back({name, trimmed(setting.value), setting.origin, key});
        }
    }

    void apply_options()
    {
        // ADMIN_PORT has a row per binary: rows of other binaries first, so that ours decides.
        for (const auto& option : options()) {
            if (!option.is_used_by(binary_)) apply_default(option);
        }
        for (const auto& option : options()) {
            if (option.is_used_by(binary_)) apply(option);
        }
    }

    void apply_default(const Option& option)
    {
        if (!option.default_text.empty()) option.rule.store(loaded_.config, option.default_text, {});
    }

    void apply(const Option& option)
    {
        apply_default(option);
        const auto variable = given_by_variables(option);
        if (variable && !variable->value.empty()) {
            store(option, *variable);
            return;
        }
        if (variable && option.empty_is_a_fault) {
            fault(fmt::format("{} ({}): is set but empty; unset it or give a {}", variable->name,
                              variable->origin, option.rule.allowed));
            return;
        }
        bool is_given = false;
        for (const auto& given : given_by_yaml(option)) {
            if (given.value.empty()) continue;
            is_given = true;
            store(option, given);
        }
        if (!is_given && option.required) missing_.emplace_back(&option, variable);
    }

    // Only now: one option may make another one unnecessary.
    void report_missing()
    {
        for (const auto& [option, empty] : missing_) {
            if (option->waived == nullptr || !option->waived(loaded_.config)) report_missing(*option, empty);
        }
    }

    void apply_subscriptions()
    {
        for (const auto& given : yaml_.subscriptions) {
            for (auto& problem : subscription_faults(given)) fault(std::move(problem));
            if (given.settings.is_object())
                loaded_.config.outbox.subscriptions[given.name] = given.settings.get_object();
        }
    }

    void report_missing(const Option& option, const std::optional<Given>& empty)
    {
        const std::string aliases =
            option.aliases.empty() ? "" : fmt::format(" (or {})", fmt::join(option.aliases, ", "));
        if (empty) {
            fault(fmt::format("{}{} ({}): is required but empty; give a {}", option.name, aliases,
                              empty->origin, option.rule.allowed));
        } else if (option.used_by == propagator) {
            fault(fmt::format("Missing required environment variable: {}; give a {}", option.name,
                              option.rule.allowed));
        } else {
            fault(fmt::format("{}{}: is required but not set; give a {}", option.name, aliases,
                              option.rule.allowed));
        }
    }

    void store(const Option& option, const Given& given)
    {
        given_.push_back(&option);
        if (!is_good_key(option, given)) return;
        const std::string problem = option.rule.store(loaded_.config, given.value, given.key);
        if (problem.empty()) return;
        fault(fmt::format("{}{} ({}): {}", given.name, shown_value(option, given.value), given.origin,
                          problem));
    }

    bool is_good_key(const Option& option, const Given& given)
    {
        const bool is_name = option.key_kind == KeyKind::service || option.key_kind == KeyKind::stream;
        if (is_name && !is_plain_name(given.key)) {
            fault(fmt::format("{}: {} is not a {} name (1 to 100 of A-Z a-z 0-9 . _ -)", given.origin,
                              in_quotes(given.key),
                              option.key_kind == KeyKind::stream ? "stream" : "service"));
            return false;
        }
        if (option.key_kind != KeyKind::rule) return true;
        const auto& rules = sources_.rule_names;
        const bool known = rules.empty() ? is_plain_name(given.key)
                                         : std::find(rules.begin(), rules.end(), given.key) != rules.end();
        if (known) return true;
        const auto hint = nearest(given.key, rules);
        fault(fmt::format("{}: there is no rule {}{}", given.origin, in_quotes(given.key),
                          hint.empty() ? "" : "; did you mean " + hint + "?"));
        return false;
    }

    bool is_given(std::string_view name) const
    {
        return std::any_of(given_.begin(), given_.end(), [&](const Option* o) { return o->name == name; });
    }

    void derive()
    {
        Config& config = loaded_.config;
        if (!is_given("LOG_FORMAT")) {
            config.log.format = sources_.stderr_is_terminal ? LogFormat::text : LogFormat::json;
        }
        const auto no_color = sources_.env("NO_COLOR");  // https://no-color.org
        config.log.colour = sources_.stderr_is_terminal && !(no_color && !no_color->empty());
        if (!is_given("EVENT_HUB_MODE")) config.event_hub.mode = older_mode(config.event_hub);
        for (auto& problem : complete_orchestrators(config, binary_)) fault(std::move(problem));
        if (binary_ == Binary::propagator) {
            for (auto& problem : complete_streams(config.propagator, config.kafka)) fault(std::move(problem));
        }
    }

    Binary binary_;
    const Sources& sources_;
    Loaded loaded_;
    std::string env_file_name_;
    EnvFile env_file_;
    YamlFile yaml_;
    std::vector<const Option*> given_;
    std::vector<std::pair<const Option*, std::optional<Given>>> missing_;
};

}  // namespace
}  // namespace config

Loaded load_config(Binary binary, const Sources& sources) { return config::Loader(binary, sources).run(); }

Sources process_sources()
{
    Sources sources;
    sources.env = [](const std::string& name) -> std::optional<std::string> {
        const char* const value = std::getenv(name.c_str());
        if (value == nullptr) return std::nullopt;
        return std::string(value);
    };
    std::error_code unreadable;  // a removed working directory: relative paths are then taken as they are
    sources.working_directory = std::filesystem::current_path(unreadable);
    sources.stderr_is_terminal = ::isatty(STDERR_FILENO) == 1;
    return sources;
}

}  // namespace infra
