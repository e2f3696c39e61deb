#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace infra::trace {

// Where in which trace something belongs, as W3C Trace Context hands it on.
struct Context {
    std::array<std::uint8_t, 16> trace{};
    std::array<std::uint8_t, 8> span{};
    bool sampled = false;

    bool operator==(const Context&) const = default;
};

// The value of a `traceparent` header; nothing where it is none (version ff, all zeros, wrong form).
std::optional<Context> parse_traceparent(std::string_view text);
std::string to_traceparent(const Context& context);
std::string trace_id_text(const Context& context);

// A trace that began here and is not sampled: nobody will look for it, so nothing of it is stored or handed
// on.
inline bool leaves_no_trace(const std::optional<Context>& parent, const Context& context)
{
    return !parent && !context.sampled;
}

enum class Kind { internal = 1, server = 2, client = 3, producer = 4, consumer = 5 };  // as OTLP numbers them

using Time = std::chrono::system_clock::time_point;

struct Attribute {
    std::string_view name;  // a constant
    std::variant<std::string, std::int64_t, double> value;
};

// Something that took time. Never holds payloads, query texts of requests, or headers.
struct Span {
    Context context;
    std::optional<Context> parent = {};
    std::string name;
    Kind kind = Kind::internal;
    Time start;
    Time end;
    std::vector<Attribute> attributes = {};
    std::vector<Context> links = {};
    bool failed = false;
};

}  // namespace infra::trace
