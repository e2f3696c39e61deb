#pragma once

#include "domain/result.hpp"
#include "infra/http/message.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace infra::api {

constexpr std::int64_t page_rows_max = 100;

// The text of the parameter `limit` of a list.
domain::Result<std::int64_t> parse_limit(std::string_view text);
// That parameter; a full page without it.
domain::Result<std::int64_t> limit_of(const http::Request& request);

// The same query with another cursor, as a Link header for rel="next".
std::string link_to(const http::Request& request, std::string_view cursor, std::string_view id);

}  // namespace infra::api
