#include "infra/trace/span.hpp"

#include "domain/trace_context.hpp"

#include <boost/algorithm/hex.hpp>

#include <iterator>

namespace infra::trace {
namespace {

// 00-<32 hex>-<16 hex>-<2 hex>
constexpr std::size_t trace_at = 3;
constexpr std::size_t span_at = 36;
constexpr std::size_t flags_at = 53;

template <std::size_t size>
void read(std::string_view text, std::size_t at, std::array<std::uint8_t, size>& bytes)
{
    boost::algorithm::unhex(text.substr(at, 2 * size), bytes.begin());
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
    const auto parent = domain::parse_trace_context(text, {}).parent;
    if (parent.empty()) return std::nullopt;
    Context context;
    std::array<std::uint8_t, 1> flags{};
    read(parent, trace_at, context.trace);
    read(parent, span_at, context.span);
    read(parent, flags_at, flags);
    context.sampled = (flags[0] & 1U) != 0;
    return context;
}

std::string trace_id_text(const Context& context) { return text_of(context.trace); }

std::string to_traceparent(const Context& context)
{
    return "00-" + text_of(context.trace) + "-" + text_of(context.span) + (context.sampled ? "-01" : "-00");
}

}  // namespace infra::trace
