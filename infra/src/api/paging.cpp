#include "api/paging.hpp"

#include <charconv>

namespace infra::api {

domain::Result<std::int64_t> parse_limit(std::string_view text)
{
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size() || value < 1 || value > page_rows_max)
        return domain::Fault{"limit must be 1 to 100"};
    return value;
}

domain::Result<std::int64_t> limit_of(const http::Request& request)
{
    const auto* text = request.query_value("limit");
    return text == nullptr ? page_rows_max : parse_limit(*text);
}

std::string link_to(const http::Request& request, std::string_view cursor, std::string_view id)
{
    std::string link = "<" + request.path + "?";
    for (const auto& [name, value] : request.query) {
        if (name == "after" || name == "before" || name == "offset") continue;
        link += http::percent_encoded(name) + "=" + http::percent_encoded(value) + "&";
    }
    return link.append(cursor).append("=").append(id).append(">; rel=\"next\"");
}

}  // namespace infra::api
