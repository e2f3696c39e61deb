#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace infra::http {

// Nothing when a percent sign is not followed by two hexadecimal digits.
std::optional<std::string> decode_segment(std::string_view raw);

using Query = std::vector<std::pair<std::string, std::string>>;

// Form encoding: "+" is a space. Nothing when a percent sign is not followed by two hexadecimal digits.
std::optional<Query> decode_query(std::string_view raw);

}  // namespace infra::http
