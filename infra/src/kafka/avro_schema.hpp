#pragma once

#include <avro.h>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace infra::kafka {

struct SchemaRelease {
    void operator()(avro_obj_t* schema) const { avro_schema_decref(schema); }
};
using Schema = std::unique_ptr<avro_obj_t, SchemaRelease>;

// Empty when it is no Avro schema.
Schema parse_schema(std::string_view json);

// Namespace and name of a named type; empty for others.
std::string full_name(avro_schema_t schema);

// What makes data of this schema dangerous to read: a type that contains itself (libavro recurses once a
// level, and a megabyte holds a million levels), or an array whose items take no bytes (a few bytes then
// claim 2^63 of them). Empty = safe.
std::optional<std::string> schema_danger(avro_schema_t schema);

}  // namespace infra::kafka
