#include "kafka/avro_schema.hpp"

#include <algorithm>
#include <vector>

namespace infra::kafka {
namespace {

constexpr std::size_t schema_depth_max = 32;

avro_schema_t target_of(avro_schema_t schema)
{
    return is_avro_link(schema) ? avro_schema_link_target(schema) : schema;
}

std::vector<avro_schema_t> children(avro_schema_t schema)
{
    std::vector<avro_schema_t> found;
    if (is_avro_record(schema)) {
        for (std::size_t i = 0; i < avro_schema_record_size(schema); ++i) {
            found.push_back(avro_schema_record_field_get_by_index(schema, static_cast<int>(i)));
        }
    } else if (is_avro_union(schema)) {
        for (std::size_t i = 0; i < avro_schema_union_size(schema); ++i) {
            found.push_back(avro_schema_union_branch(schema, static_cast<int>(i)));
        }
    } else if (is_avro_array(schema)) {
        found.push_back(avro_schema_array_items(schema));
    } else if (is_avro_map(schema)) {
        found.push_back(avro_schema_map_values(schema));
    }
    return found;
}

// Only for schemas that do not contain themselves.
bool may_take_no_bytes(avro_schema_t schema)
{
    const auto type = target_of(schema);
    if (is_avro_null(type)) return true;
    if (is_avro_fixed(type)) return avro_schema_fixed_size(type) == 0;
    if (!is_avro_record(type)) return false;
    const auto fields = children(type);
    return std::all_of(fields.begin(), fields.end(), may_take_no_bytes);
}

std::optional<std::string> danger(avro_schema_t schema, std::vector<avro_schema_t>& path)
{
    const auto type = target_of(schema);
    if (std::find(path.begin(), path.end(), type) != path.end()) return "a type that contains itself";
    if (path.size() >= schema_depth_max) return "more than 32 levels";
    path.push_back(type);
    for (const auto child : children(type)) {
        if (auto found = danger(child, path)) return found;
    }
    path.pop_back();
    if (is_avro_array(type) && may_take_no_bytes(avro_schema_array_items(type))) {
        return "an array of items that take no bytes";
    }
    return std::nullopt;
}

}  // namespace

Schema parse_schema(std::string_view json)
{
    avro_schema_t schema = nullptr;
    if (avro_schema_from_json_length(json.data(), json.size(), &schema) != 0) return nullptr;
    return Schema(schema);
}

std::string full_name(avro_schema_t schema)
{
    if (!is_avro_record(schema) && !is_avro_enum(schema) && !is_avro_fixed(schema)) return {};
    const char* space = avro_schema_namespace(schema);
    std::string name = space == nullptr || *space == '\0' ? "" : std::string(space) + ".";
    return name + avro_schema_name(schema);
}

std::optional<std::string> schema_danger(avro_schema_t schema)
{
    std::vector<avro_schema_t> path;
    return danger(schema, path);
}

}  // namespace infra::kafka
