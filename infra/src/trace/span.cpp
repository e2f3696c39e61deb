#include "infra/trace/span.hpp"

#include <boost/algorithm/hex.hpp>

#include <algorithm>
#include <iterator>

namespace infra::trace {
namespace {

// 00-<32 hex>-<16 hex>-<2 hex>; a later version may have more behind another dash.
constexpr std::size_t trace_at = 3;
constexpr std::size_t span_at = 36;
constexpr std::size_t flags_at = 53;
constexpr std::size_t length = 55;

bool is_lower_hex(std::string_view text)
{
    return std::all_of(text.begin(), text.end(),
                       [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

template <std::size_t size>
bool read(std::string_view text, std::array<std::uint8_t, size>& bytes)
{
    if (!is_lower_hex(text)) return false;
    boost::algorithm::unhex(text, bytes.begin());
    return std::any_of(bytes.begin(), bytes.end(), [](std::uint8_t byte) { return byte != 0; });
}

template <std::size_t size>
std::string text_of(const std::array<std::uint8_t, size>& bytes)
{
    std::string text;
    boost::algorithm::hex_lower(bytes.begin(), bytes.end(), std::back_inserter(text));
    return text;
}

}  // namespace

std::optional<Context> parse_traceparent(std::string_view text)
{
    if (text.size() < length || text[2] != '-' || text[span_at - 1] != '-' || text[flags_at - 1] != '-')
        return std::nullopt;
    const auto version = text.substr(0, 2);
    if (!is_lower_hex(version) || version == "ff") return std::nullopt;
    if (text.size() > length && (version == "00" || text[length] != '-')) return std::nullopt;
    Context context;
    std::array<std::uint8_t, 1> flags{};
    const auto flags_text = text.substr(flags_at, 2);
    if (!is_lower_hex(flags_text) || !read(text.substr(trace_at, 32), context.trace) ||
        !read(text.substr(span_at, 16), context.span))
        return std::nullopt;
    boost::algorithm::unhex(flags_text, flags.begin());
    context.sampled = (flags[0] & 1U) != 0;
    return context;
}

std::string trace_id_text(const Context& context) { return text_of(context.trace); }

std::string to_traceparent(const Context& context)
{
    return "00-" + text_of(context.trace) + "-" + text_of(context.span) + (context.sampled ? "-01" : "-00");
}

}  // namespace infra::trace
