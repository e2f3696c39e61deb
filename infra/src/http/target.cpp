#include "http/target.hpp"

#include <boost/url/decode_view.hpp>
#include <boost/url/pct_string_view.hpp>

namespace infra::http {

namespace urls = boost::urls;

namespace {

std::optional<std::string> decode(std::string_view raw, bool plus_is_space)
{
    const auto checked = urls::make_pct_string_view({raw.data(), raw.size()});
    if (!checked) return std::nullopt;
    urls::encoding_opts options;
    options.space_as_plus = plus_is_space;
    const urls::decode_view decoded(*checked, options);
    return std::string(decoded.begin(), decoded.end());
}

}  // namespace

std::optional<std::string> decode_segment(std::string_view raw) { return decode(raw, false); }

std::optional<Query> decode_query(std::string_view raw)
{
    Query query;
    while (!raw.empty()) {
        const std::size_t end = raw.find('&');
        const std::string_view pair = raw.substr(0, end);
        raw.remove_prefix(end == std::string_view::npos ? raw.size() : end + 1);
        if (pair.empty()) continue;
        const std::size_t equals = pair.find('=');
        const auto value = equals == std::string_view::npos ? std::string_view() : pair.substr(equals + 1);
        auto decoded_name = decode(pair.substr(0, equals), true);
        auto decoded_value = decode(value, true);
        if (!decoded_name || !decoded_value) return std::nullopt;
        query.emplace_back(std::move(*decoded_name), std::move(*decoded_value));
    }
    return query;
}

}  // namespace infra::http
