#pragma once

#include <string>
#include <string_view>

namespace domain {

// What W3C Trace Context lets a request or message say about the trace it belongs to. It is stored with the
// event and passed on with every delivery that follows from it.
struct TraceContext {
    std::string parent = {};  // traceparent, version 00; empty = none
    std::string state = {};   // tracestate; empty = none

    bool operator==(const TraceContext&) const = default;
};

constexpr std::size_t trace_state_bytes_max = 512;

// Empty where `parent` is malformed: the standard asks to start anew then, not to refuse the event. A
// malformed or long `state` is dropped alone. Later versions are read by the fields that version 00 knows.
TraceContext parse_trace_context(std::string_view parent, std::string_view state);

}  // namespace domain
