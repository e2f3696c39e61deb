#include "domain/trace_context.hpp"

#include <algorithm>

namespace domain {
namespace {

// version "-" trace id "-" parent id "-" flags, in lower-case hex.
constexpr std::size_t parent_length = 55;
constexpr std::size_t trace_id_at = 3;
constexpr std::size_t trace_id_length = 32;
constexpr std::size_t parent_id_at = 36;
constexpr std::size_t parent_id_length = 16;
constexpr std::size_t flags_at = 53;

bool is_hex(std::string_view text)
{
    return std::all_of(text.begin(), text.end(),
                       [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool is_id(std::string_view text) { return is_hex(text) && text.find_first_not_of('0') != text.npos; }

bool is_parent(std::string_view text)
{
    if (text.size() < parent_length) return false;
    const auto version = text.substr(0, 2);
    if (!is_hex(version) || version == "ff") return false;
    if (text.size() > parent_length && (version == "00" || text[parent_length] != '-')) return false;
    return text[2] == '-' && text[parent_id_at - 1] == '-' && text[flags_at - 1] == '-' &&
           is_id(text.substr(trace_id_at, trace_id_length)) &&
           is_id(text.substr(parent_id_at, parent_id_length)) && is_hex(text.substr(flags_at, 2));
}

bool is_state(std::string_view text)
{
    return text.size() <= trace_state_bytes_max &&
           std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

}  // namespace

TraceContext parse_trace_context(std::string_view parent, std::string_view state)
{
    if (!is_parent(parent)) return {};
    return {"00" + std::string(parent.substr(2, parent_length - 2)),
            is_state(state) ? std::string(state) : std::string()};
}

}  // namespace domain
