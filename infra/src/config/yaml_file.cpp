#include "config/option.hpp"
#include "config/settings.hpp"

#include <boost/json.hpp>
#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <set>

namespace infra::config {
namespace {

using Path = std::vector<std::string>;

const std::vector<Path>& known_paths()
{
    static const std::vector<Path> paths = [] {
        std::vector<Path> split;
        for (const auto& option : options()) {
            split.push_back(split_path(option.yaml_path));
            for (const auto alias : option.yaml_aliases) split.push_back(split_path(alias));
        }
        return split;
    }();
    return paths;
}

bool begins_with(const Path& known, const Path& path)
{
    if (path.size() > known.size()) return false;
    return std::equal(path.begin(), path.end(), known.begin(), [](const auto& segment, const auto& wanted) {
        return wanted == "*" || wanted == segment;
    });
}

bool is_option(const Path& path)
{
    return std::any_of(known_paths().begin(), known_paths().end(), [&](const Path& known) {
        return known.size() == path.size() && begins_with(known, path);
    });
}

bool is_group(const Path& path)
{
    return std::any_of(known_paths().begin(), known_paths().end(), [&](const Path& known) {
        return known.size() > path.size() && begins_with(known, path);
    });
}

std::vector<std::string> keys_below(const Path& group)
{
    std::vector<std::string> keys;
    for (const Path& known : known_paths()) {
        if (known.size() > group.size() && begins_with(known, group) && known[group.size()] != "*") {
            keys.push_back(known[group.size()]);
        }
    }
    if (group.empty()) keys.emplace_back("subscriptions");
    return keys;
}

// Where a list stands for a map: its items have their places as names.
bool may_be_list(const Path& path)
{
    return path == Path{"log", "files"} || path == Path{"logging", "files"};
}

// Walks the file along the known paths. It never descends below an unknown key, so its depth is that of the
// table, whatever aliases the file plays with.
class YamlWalk {
public:
    explicit YamlWalk(std::string name) : name_(std::move(name)) {}

    YamlFile run(const YAML::Node& root)
    {
        if (root.IsMap()) {
            visit_map(root, {});
        } else if (!root.IsNull()) {
            file_.faults.push_back(name_ + ": the file must be a map of keys");
        }
        return std::move(file_);
    }

private:
    void visit_map(const YAML::Node& map, const Path& group)
    {
        std::set<std::string> seen;
        for (const auto& item : map) {
            if (!item.first.IsScalar()) {
                fault(item.first, "a key must be plain text");
                continue;
            }
            Path path = group;
            path.push_back(item.first.Scalar());
            if (!seen.insert(path.back()).second)
                fault(item.first, "the key " + quoted_path(path) + " is repeated");
            visit(item.first, item.second, path);
        }
    }

    void visit_subscriptions(const YAML::Node& map)
    {
        if (!map.IsMap()) return fault(map, "\"subscriptions\" must be a map from names to settings");
        for (const auto& item : map) {
            if (!item.first.IsScalar()) {
                fault(item.first, "the name of a subscription must be plain text");
                continue;
            }
            boost::json::value settings = json_of(item.second, 0);
            file_.subscriptions.push_back({item.first.Scalar(), std::move(settings), place(item.first)});
        }
    }

    static boost::json::value json_of(const YAML::Node& node, std::size_t depth)
    {
        constexpr std::size_t depth_max = 32;  // an alias may lead a node back to itself
        if (depth > depth_max || !node.IsDefined() || node.IsNull()) return nullptr;
        if (node.IsMap()) {
            boost::json::object object;
            for (const auto& item : node) object[item.first.Scalar()] = json_of(item.second, depth + 1);
            return object;
        }
        if (node.IsSequence()) {
            boost::json::array array;
            for (const auto& item : node) array.push_back(json_of(item, depth + 1));
            return array;
        }
        // "!" is the tag of a quoted scalar: text, whatever it looks like.
        if (node.Tag() != "!") {
            boost::system::error_code no_json;
            auto value = boost::json::parse(node.Scalar(), no_json);
            if (!no_json && (value.is_number() || value.is_bool() || value.is_null())) return value;
        }
        return boost::json::string(node.Scalar());
    }

    void visit(const YAML::Node& key, const YAML::Node& value, const Path& path)
    {
        if (path == Path{"subscriptions"}) {
            if (!value.IsNull()) visit_subscriptions(value);
            return;
        }
        if (is_option(path)) {
            visit_option(value, path);
        } else if (is_group(path) && value.IsMap()) {
            visit_map(value, path);
        } else if (may_be_list(path) && value.IsSequence()) {
            visit_list(key, value, path);
        } else if (is_group(path) && value.IsNull()) {
            return;
        } else {
            unknown(key, path);
        }
    }

    void visit_list(const YAML::Node& key, const YAML::Node& list, const Path& path)
    {
        for (std::size_t place = 0; place < list.size(); ++place) {
            Path item = path;
            item.push_back(std::to_string(place));
            visit(key, list[place], item);
        }
    }

    void visit_option(const YAML::Node& value, const Path& path)
    {
        if (value.IsNull()) return;
        if (value.IsScalar()) {
            file_.settings.push_back({path, value.Scalar(), place(value)});
        } else {
            fault(value, quoted_path(path) + " must be a single value");
        }
    }

    void unknown(const YAML::Node& key, const Path& path)
    {
        const auto hint = nearest(path.back(), keys_below(Path(path.begin(), path.end() - 1)));
        if (hint == path.back() || (hint.empty() && is_group(path))) {
            fault(key, quoted_path(path) + " must be a map of keys");
        } else {
            fault(key,
                  "unknown key " + quoted_path(path) + (hint.empty() ? "" : "; did you mean " + hint + "?"));
        }
    }

    void fault(const YAML::Node& where, const std::string& what)
    {
        file_.faults.push_back(place(where) + ": " + what);
    }

    std::string place(const YAML::Node& node) const
    {
        return fmt::format("{}:{}", name_, node.Mark().line + 1);
    }

    static std::string quoted_path(const Path& path)
    {
        return in_quotes(fmt::format("{}", fmt::join(path, ".")));
    }

    std::string name_;
    YamlFile file_;
};

}  // namespace

YamlFile parse_yaml_file(const std::string& text, const std::string& name)
{
    try {
        return YamlWalk(name).run(YAML::Load(text));
    } catch (const YAML::ParserException& e) {
        // Only the place: a parser's message may repeat a piece of the file, which may hold a password.
        YamlFile file;
        file.faults.push_back(
            fmt::format("{}:{}:{}: not valid YAML", name, e.mark.line + 1, e.mark.column + 1));
        return file;
    } catch (const YAML::Exception&) {
        YamlFile file;
        file.faults.push_back(name + ": not valid YAML");
        return file;
    }
}

}  // namespace infra::config
