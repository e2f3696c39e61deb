#include "kafka/avro_inference.hpp"

#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include <algorithm>
#include <cctype>
#include <map>
#include <memory>
#include <utility>

namespace infra::kafka {
namespace {

namespace json = boost::json;

enum class Kind { none, boolean, whole, real, text, list, record };

struct Type {
    Kind kind = Kind::none;
    std::map<std::string, Type> fields = {};  // of a record
    std::unique_ptr<Type> items = nullptr;    // of a list
    bool ambiguous = false;                   // two members of a record are the same field
};

Type merged(Type a, Type b);

Type type_of(const json::value& value)
{
    Type type;
    switch (value.kind()) {
        case json::kind::null:
            break;
        case json::kind::bool_:
            type.kind = Kind::boolean;
            break;
        case json::kind::int64:
            type.kind = Kind::whole;
            break;
        case json::kind::uint64:
        case json::kind::string:
            type.kind = Kind::text;
            break;
        case json::kind::double_:
            type.kind = Kind::real;
            break;
        case json::kind::array:
            type.kind = Kind::list;
            type.items = std::make_unique<Type>();
            for (const auto& item : value.get_array()) {
                Type both = merged(std::move(*type.items), type_of(item));
                *type.items = std::move(both);
            }
            break;
        case json::kind::object:
            type.kind = Kind::record;
            for (const auto& member : value.get_object()) {
                const auto name = avro_name({member.key().data(), member.key().size()});
                type.ambiguous = !type.fields.emplace(name, type_of(member.value())).second || type.ambiguous;
            }
            break;
    }
    return type;
}

Type merged(Type a, Type b)
{
    if (a.kind == Kind::none) return b;
    if (b.kind == Kind::none) return a;
    const bool numbers =
        (a.kind == Kind::whole || a.kind == Kind::real) && (b.kind == Kind::whole || b.kind == Kind::real);
    if (a.kind != b.kind) {
        Type other;
        other.kind = numbers ? Kind::real : Kind::text;
        return other;
    }
    a.ambiguous = a.ambiguous || b.ambiguous;
    if (a.kind == Kind::list) {
        Type both = merged(std::move(*a.items), std::move(*b.items));
        *a.items = std::move(both);
    }
    for (auto& [name, type] : b.fields) {
        Type both = merged(std::move(a.fields[name]), std::move(type));
        a.fields[name] = std::move(both);
    }
    return a;
}

bool is_ambiguous(const Type& type)
{
    if (type.ambiguous || (type.items && is_ambiguous(*type.items))) return true;
    for (const auto& [name, field] : type.fields) {
        if (is_ambiguous(field)) return true;
    }
    return false;
}

json::value schema_of(const Type& type, const std::string& record_name);

json::value nullable(const Type& type, const std::string& record_name)
{
    if (type.kind == Kind::none) return json::array{"null", "string"};
    return json::array{"null", schema_of(type, record_name)};
}

// Records within are named after their way: Avro wants each name once.
json::object record_of(const Type& type, const std::string& name)
{
    json::array fields;
    for (const auto& [field, field_type] : type.fields) {
        std::string inner = name;
        inner.append("_").append(field);
        fields.push_back(
            json::object{{"name", field}, {"type", nullable(field_type, inner)}, {"default", nullptr}});
    }
    return {{"type", "record"}, {"name", name}, {"fields", std::move(fields)}};
}

json::value schema_of(const Type& type, const std::string& record_name)
{
    switch (type.kind) {
        case Kind::boolean:
            return "boolean";
        case Kind::whole:
            return "long";
        case Kind::real:
            return "double";
        case Kind::list:
            return json::object{{"type", "array"}, {"items", nullable(*type.items, record_name)}};
        case Kind::record:
            return record_of(type, record_name);
        case Kind::none:
        case Kind::text:
            break;
    }
    return "string";
}

}  // namespace

std::string avro_name(std::string_view text)
{
    std::string name;
    for (const char c : text) name += std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
    if (name.empty() || std::isdigit(static_cast<unsigned char>(name.front())) != 0) name.insert(0, 1, '_');
    return name;
}

std::optional<std::string> inferred_schema(const json::object& payload, std::string_view full_name)
{
    const Type type = type_of(json::value(payload));
    if (is_ambiguous(type)) return std::nullopt;
    const auto dot = full_name.rfind('.');
    std::string space;
    for (auto rest = full_name.substr(0, dot == full_name.npos ? 0 : dot); !rest.empty();) {
        const auto end = std::min(rest.find('.'), rest.size());
        space.append(space.empty() ? "" : ".").append(avro_name(rest.substr(0, end)));
        rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    auto record = record_of(type, avro_name(dot == full_name.npos ? full_name : full_name.substr(dot + 1)));
    if (space.empty()) return json::serialize(record);
    json::object named{{"type", "record"}, {"namespace", space}};
    for (const auto& member : record) named.insert_or_assign(member.key(), member.value());
    return json::serialize(named);
}

}  // namespace infra::kafka
