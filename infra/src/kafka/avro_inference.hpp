#pragma once

#include <boost/json/object.hpp>

#include <optional>
#include <string>
#include <string_view>

namespace infra::kafka {

// A schema that a JSON object fits, as compact JSON text: a record with the full name (`event.transport` is
// the record `transport` in the namespace `event`), whose fields are all nullable with the default null, in
// the order of their names. So a field that is new or gone stays compatible in both directions. What has no
// type of its own (a list of mixed values, a whole number beyond 64 bits) is a string that holds its JSON
// text. Nothing when two members would be the same field.
std::optional<std::string> inferred_schema(const boost::json::object& payload, std::string_view full_name);

// The name of an Avro field or record for any text: other characters than A-Z a-z 0-9 _ become _.
std::string avro_name(std::string_view text);

}  // namespace infra::kafka
