#include "domain/trace_context.hpp"

#include <doctest/doctest.h>

#include <string>

TEST_SUITE("domain/trace_context")
{
    using domain::parse_trace_context;
    using domain::TraceContext;

    namespace {

    const std::string parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    std::string with(std::size_t at, char c)
    {
        auto text = parent;
        text[at] = c;
        return text;
    }

    }  // namespace

    TEST_CASE("a well-formed traceparent is kept with its tracestate")
    {
        CHECK(parse_trace_context(parent, "a=1,b=x y") == TraceContext{parent, "a=1,b=x y"});
        CHECK(parse_trace_context(parent, "") == TraceContext{parent, ""});
    }

    TEST_CASE("a later version is read by the fields of version 00")
    {
        const auto later = "cc" + parent.substr(2);
        CHECK(parse_trace_context(later, "").parent == parent);
        CHECK(parse_trace_context(later + "-more", "").parent == parent);
        CHECK(parse_trace_context(later + "more", "") == TraceContext{});
    }

    TEST_CASE("nothing is kept of a malformed one")
    {
        const std::string cases[] = {
            "",
            "00",
            parent.substr(1),
            parent + "0",
            parent + "-0",
            "ff" + parent.substr(2),
            with(0, 'g'),
            with(2, '_'),
            with(10, 'A'),
            with(35, '0'),
            with(52, '0'),
            with(54, 'x'),
            "00-" + std::string(32, '0') + parent.substr(35),
            parent.substr(0, 36) + std::string(16, '0') + "-01",
        };
        for (const auto& text : cases) {
            CAPTURE(text);
            CHECK(parse_trace_context(text, "a=1") == TraceContext{});
        }
    }

    TEST_CASE("a tracestate that is long or not printable is dropped alone")
    {
        const std::string longest(domain::trace_state_bytes_max, 'a');
        CHECK(parse_trace_context(parent, longest).state == longest);
        for (const auto& state : {longest + "a", std::string("a=\n"), std::string("a=\xC3\xBC")}) {
            CHECK(parse_trace_context(parent, state) == TraceContext{parent, ""});
        }
    }
}
