#include "infra/http/message.hpp"

#include "http/names.hpp"

#include <boost/json/serialize.hpp>
#include <boost/url/encode.hpp>
#include <boost/url/rfc/unreserved_chars.hpp>

namespace infra::http {

std::string_view Request::header(std::string_view name) const
{
    for (const Header& candidate : headers) {
        if (same_name(candidate.name, name)) return candidate.value;
    }
    return {};
}

const std::string* Request::query_value(std::string_view name) const
{
    for (auto parameter = query.rbegin(); parameter != query.rend(); ++parameter) {
        if (parameter->first == name) return &parameter->second;
    }
    return nullptr;
}

Response problem(unsigned status, std::string_view detail)
{
    const boost::json::string_view text(detail.data(), detail.size());
    Response response;
    response.status = status;
    response.content_type = "application/problem+json";
    response.body = R"({"type":"about:blank","title":")";
    response.body += reason_phrase(status);
    response.body += R"(","status":)";
    response.body += std::to_string(status);
    response.body += R"(,"detail":)";
    response.body += boost::json::serialize(text);
    response.body += '}';
    return response;
}

std::string percent_encoded(std::string_view text)
{
    return boost::urls::encode({text.data(), text.size()}, boost::urls::unreserved_chars);
}

}  // namespace infra::http
