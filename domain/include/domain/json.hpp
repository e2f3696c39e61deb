#pragma once

#include "domain/result.hpp"

#include <boost/json/storage_ptr.hpp>
#include <boost/json/value.hpp>

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace domain {

// Levels of arrays and objects in one document.
constexpr std::size_t json_depth_max = 32;

// One JSON document and the exact text it was read from. The text is what is stored and forwarded, the value
// is for decisions: numbers keep all their digits in the text only.
struct JsonDocument {
    boost::json::value value;
    std::string_view text;
};

// Stricter than RFC 8259 where PostgreSQL's jsonb, or an exact number, cannot follow: refuses NUL in strings,
// numbers beyond a double, integers beyond 64 bits, and depth over json_depth_max. Doubles are correctly
// rounded, which Boost.JSON 1.81 by itself does not do. `text` must outlive the result.
Result<JsonDocument> parse_json(std::string_view text, boost::json::storage_ptr storage = {});

// The elements of a JSON array, each as its own document or its own fault. Fails as a whole where the text is
// no array, is malformed, or has more than `items_max` elements.
Result<std::vector<Result<JsonDocument>>> parse_json_array(std::string_view text, std::size_t items_max);

// The exact text of the last member of that name in an object, whose text must be valid JSON.
std::optional<std::string_view> json_member_text(std::string_view object, std::string_view name);

// The text as a JSON string, in quotes and escaped. `text` is UTF-8.
std::string json_string(std::string_view text);

// True when the first byte that is not blank opens an array.
bool looks_like_json_array(std::string_view text);

}  // namespace domain
