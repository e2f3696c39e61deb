#pragma once

#include <avro.h>
#include <optional>
#include <string>

namespace infra::kafka {

// The value as JSON text: a union is its branch, an enum its symbol, bytes and fixed are base64, logical
// types stay the numbers they are encoded as. Empty where JSON cannot hold it (NaN, infinity).
std::optional<std::string> to_json(const avro_value_t& value);

}  // namespace infra::kafka
