#include "domain/filter.hpp"

#include "domain/json.hpp"

#include <boost/json/serialize.hpp>

#include <algorithm>
#include <array>
#include <functional>
#include <optional>
#include <string_view>
#include <utility>

namespace domain {
namespace {

namespace json = boost::json;

struct Bound {
    std::string_view name;
    std::string_view sql;
    bool (*holds)(int order);
};

constexpr std::array<Bound, 4> bounds{{{"gt", ">", [](int order) { return order > 0; }},
                                       {"gte", ">=", [](int order) { return order >= 0; }},
                                       {"lt", "<", [](int order) { return order < 0; }},
                                       {"lte", "<=", [](int order) { return order <= 0; }}}};

// Wide enough for every 64-bit integer and every double.
std::optional<long double> number_of(const json::value& value)
{
    if (const auto* i = value.if_int64()) return static_cast<long double>(*i);
    if (const auto* u = value.if_uint64()) return static_cast<long double>(*u);
    if (const auto* d = value.if_double()) return static_cast<long double>(*d);
    return std::nullopt;
}

bool is_scalar(const json::value& value) { return !value.is_array() && !value.is_object(); }

// -1, 0 or 1; nothing where the two have no order.
std::optional<int> order_of(const json::value& left, const json::value& right)
{
    if (left.is_string() && right.is_string()) {
        const int order = left.get_string().compare(right.get_string());
        return order < 0 ? -1 : order > 0 ? 1 : 0;
    }
    const auto a = number_of(left);
    const auto b = number_of(right);
    if (!a || !b) return std::nullopt;
    return *a < *b ? -1 : *a > *b ? 1 : 0;
}

bool equal(const json::value& left, const json::value& right)
{
    if (const auto order = order_of(left, right)) return *order == 0;
    if (left.is_bool() && right.is_bool()) return left.get_bool() == right.get_bool();
    return left.is_null() && right.is_null();
}

using Visit = std::function<bool(const json::value&)>;

bool any_below(const json::value& value, const std::vector<std::string>& path, std::size_t depth,
               const Visit& visit)
{
    if (depth == path.size()) return visit(value);
    const auto step = [&](const json::value& holder) {
        const auto* object = holder.if_object();
        const auto* member = object == nullptr ? nullptr : object->if_contains(path[depth]);
        return member != nullptr && any_below(*member, path, depth + 1, visit);
    };
    const auto* array = value.if_array();
    if (array == nullptr) return step(value);
    return std::any_of(array->begin(), array->end(), step);
}

}  // namespace

struct Filter::Node {
    enum class Kind { all, any, none, exists, missing, equals_one, range, prefix };

    Kind kind = Kind::all;
    std::vector<std::shared_ptr<const Node>> parts = {};
    std::vector<std::string> path = {};
    std::vector<json::value> values = {};                           // equals, in
    std::vector<std::pair<const Bound*, json::value>> limits = {};  // range
    std::string text = {};                                          // prefix

    bool matches(const json::value& payload) const;
    bool value_matches(const json::value& value) const;
    std::string sql() const;
    std::string value_sql() const;
    std::string path_sql() const;
};

bool Filter::Node::value_matches(const json::value& value) const
{
    switch (kind) {
        case Kind::equals_one:
            return std::any_of(values.begin(), values.end(), [&](const auto& v) { return equal(value, v); });
        case Kind::range:
            return std::all_of(limits.begin(), limits.end(), [&](const auto& limit) {
                const auto order = order_of(value, limit.second);
                return order && limit.first->holds(*order);
            });
        case Kind::prefix:
            return value.is_string() &&
                   std::string_view(value.get_string().data(), value.get_string().size()).starts_with(text);
        case Kind::all:
        case Kind::any:
        case Kind::none:
        case Kind::exists:
        case Kind::missing:
            break;
    }
    return false;
}

bool Filter::Node::matches(const json::value& payload) const
{
    const auto part_matches = [&](const auto& part) { return part->matches(payload); };
    switch (kind) {
        case Kind::all:
            return std::all_of(parts.begin(), parts.end(), part_matches);
        case Kind::any:
            return std::any_of(parts.begin(), parts.end(), part_matches);
        case Kind::none:
            return std::none_of(parts.begin(), parts.end(), part_matches);
        case Kind::exists:
        case Kind::missing:
            return any_below(payload, path, 0, [](const json::value&) { return true; }) ==
                   (kind == Kind::exists);
        case Kind::equals_one:
        case Kind::range:
        case Kind::prefix:
            return any_below(payload, path, 0, [this](const json::value& value) {
                const auto* array = value.if_array();
                if (array == nullptr) return value_matches(value);
                return std::any_of(array->begin(), array->end(),
                                   [this](const auto& element) { return value_matches(element); });
            });
    }
    return false;
}

std::string Filter::Node::path_sql() const
{
    std::string out = "$";
    for (const auto& name : path) out += "." + json_string(name);
    return out;
}

std::string Filter::Node::value_sql() const
{
    std::string out;
    if (kind == Kind::prefix) return "@ starts with " + json_string(text);
    for (const auto& value : values) out += (out.empty() ? "@ == " : " || @ == ") + json::serialize(value);
    for (const auto& [bound, value] : limits) {
        out += (out.empty() ? "@ " : " && @ ") + std::string(bound->sql) + " " + json::serialize(value);
    }
    return out;
}

std::string Filter::Node::sql() const
{
    if (kind == Kind::exists) return "exists(" + path_sql() + ")";
    if (kind == Kind::missing) return "!(exists(" + path_sql() + "))";
    if (parts.empty()) return "exists(" + path_sql() + " ? (" + value_sql() + "))";
    std::string out;
    for (const auto& part : parts) {
        out += out.empty() ? "" : kind == Kind::all ? " && " : " || ";
        out += "(" + part->sql() + ")";
    }
    return kind == Kind::none ? "!(" + out + ")" : out;
}

namespace {

using Node = Filter::Node;

class Parser {
public:
    explicit Parser(std::vector<FieldError>& faults) : faults_(faults) {}

    std::shared_ptr<const Node> node(const json::value& value, const std::string& place, std::size_t depth)
    {
        auto made = std::make_shared<Node>();
        const auto* object = value.if_object();
        if (depth > Filter::depth_max) {
            fault(place, "is nested deeper than " + std::to_string(Filter::depth_max));
        } else if (object == nullptr) {
            fault(place, "must be an object");
        } else if (object->contains("field")) {
            if (++conditions_ == Filter::conditions_max + 1)
                fault(place, "is one condition more than " + std::to_string(Filter::conditions_max));
            condition(*object, place, *made);
        } else {
            combination(*object, place, depth, *made);
        }
        return made;
    }

private:
    void fault(const std::string& place, std::string message)
    {
        faults_.push_back({place, std::move(message)});
    }

    void combination(const json::object& object, const std::string& place, std::size_t depth, Node& made)
    {
        if (object.size() != 1) return fault(place, "must have either `field`, or one of `and`, `or`, `not`");
        const std::string name(object.begin()->key().data(), object.begin()->key().size());
        const auto& value = object.begin()->value();
        const std::string below = place + "." + name;
        if (name == "not") {
            made.kind = Node::Kind::none;
            made.parts.push_back(node(value, below, depth + 1));
            return;
        }
        if (name != "and" && name != "or") return fault(below, "is not known; use and, or, not or field");
        made.kind = name == "and" ? Node::Kind::all : Node::Kind::any;
        const auto* array = value.if_array();
        if (array == nullptr || array->empty() || array->size() > Filter::conditions_max)
            return fault(below,
                         "must be a list of 1 to " + std::to_string(Filter::conditions_max) + " conditions");
        for (std::size_t i = 0; i < array->size(); ++i)
            made.parts.push_back(node((*array)[i], below + "[" + std::to_string(i) + "]", depth + 1));
    }

    void condition(const json::object& object, const std::string& place, Node& made)
    {
        field(object.at("field"), place + ".field", made);
        if (object.size() != 2)
            return fault(place, "must have `field` and one of equals, in, exists, range, prefix");
        const auto& member = object.begin()->key() == "field" ? *(object.begin() + 1) : *object.begin();
        const std::string name(member.key().data(), member.key().size());
        const std::string below = place + "." + name;
        const auto& value = member.value();
        if (name == "equals") {
            made.kind = Node::Kind::equals_one;
            scalar(value, below, made);
        } else if (name == "in") {
            one_of(value, below, made);
        } else if (name == "exists") {
            if (!value.is_bool()) return fault(below, "must be true or false");
            made.kind = value.get_bool() ? Node::Kind::exists : Node::Kind::missing;
        } else if (name == "range") {
            range(value, below, made);
        } else if (name == "prefix") {
            if (!value.is_string() || value.get_string().empty())
                return fault(below, "must be a text that is not empty");
            made.kind = Node::Kind::prefix;
            made.text.assign(value.get_string().data(), value.get_string().size());
        } else {
            fault(below, "is not known; use equals, in, exists, range or prefix");
        }
    }

    void field(const json::value& value, const std::string& place, Node& made)
    {
        const auto wrong = [&] {
            fault(place, "must be the names of 1 to " + std::to_string(Filter::path_segments_max) +
                             " nested members, joined by dots");
        };
        if (!value.is_string()) return wrong();
        std::string_view rest(value.get_string().data(), value.get_string().size());
        while (true) {
            const auto dot = rest.find('.');
            made.path.emplace_back(rest.substr(0, dot));
            if (made.path.back().empty() || made.path.size() > Filter::path_segments_max) return wrong();
            if (dot == std::string_view::npos) return;
            rest.remove_prefix(dot + 1);
        }
    }

    void scalar(const json::value& value, const std::string& place, Node& made)
    {
        if (!is_scalar(value)) return fault(place, "must be a text, a number, true, false or null");
        made.values.push_back(value);
    }

    void one_of(const json::value& value, const std::string& place, Node& made)
    {
        made.kind = Node::Kind::equals_one;
        const auto* array = value.if_array();
        if (array == nullptr || array->empty() || array->size() > Filter::values_max)
            return fault(place, "must be a list of 1 to " + std::to_string(Filter::values_max) + " values");
        for (std::size_t i = 0; i < array->size(); ++i)
            scalar((*array)[i], place + "[" + std::to_string(i) + "]", made);
    }

    void range(const json::value& value, const std::string& place, Node& made)
    {
        made.kind = Node::Kind::range;
        const auto* object = value.if_object();
        if (object == nullptr || object->empty())
            return fault(place, "must be an object with some of gt, gte, lt, lte");
        for (const auto& member : *object) {
            const std::string below = place + "." + std::string(member.key().data(), member.key().size());
            const auto* const bound = std::find_if(bounds.begin(), bounds.end(), [&](const auto& b) {
                return b.name == std::string_view(member.key().data(), member.key().size());
            });
            if (bound == bounds.end()) {
                fault(below, "is not known; use gt, gte, lt or lte");
            } else if (!member.value().is_string() && !number_of(member.value())) {
                fault(below, "must be a number or a text");
            } else {
                made.limits.emplace_back(bound, member.value());
            }
        }
    }

    std::vector<FieldError>& faults_;
    std::size_t conditions_ = 0;
};

}  // namespace

Filter Filter::parse(const boost::json::value& json, const std::string& place,
                     std::vector<FieldError>& faults)
{
    return Filter(Parser(faults).node(json, place, 1));
}

bool Filter::matches(const boost::json::value& payload) const { return root_->matches(payload); }

std::string Filter::filter_path() const { return root_->sql(); }

}  // namespace domain
