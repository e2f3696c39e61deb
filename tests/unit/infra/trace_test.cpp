#include "infra/log/log.hpp"
#include "infra/trace/tracer.hpp"
#include "trace/otlp_json.hpp"

#include <boost/json.hpp>
#include <doctest/doctest.h>

#include <sstream>

namespace trace = infra::trace;

TEST_SUITE("infra/trace")
{
    constexpr auto known = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    TEST_CASE("traceparent is read and written as W3C Trace Context says")
    {
        const auto context = trace::parse_traceparent(known);
        REQUIRE(context);
        CHECK(context->sampled);
        CHECK(trace::to_traceparent(*context) == known);
        CHECK(trace::trace_id_text(*context) == "0af7651916cd43dd8448eb211c80319c");
        // A later version may say more behind what this one knows.
        CHECK(trace::parse_traceparent("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00-more"));
        for (const char* text : {"", "00", "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
                                 "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                                 "00-00000000000000000000000000000000-b7ad6b7169203331-01",
                                 "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
                                 "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
                                 "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0g",
                                 "00 0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}) {
            CAPTURE(text);
            CHECK_FALSE(trace::parse_traceparent(text));
        }
    }

    TEST_CASE("the parent decides, else the share")
    {
        // Nobody listens on port 9: what is handed over is dropped.
        trace::Tracer none({"http://127.0.0.1:9", 0, "test", "1"});
        trace::Tracer all({"http://127.0.0.1:9", 1, "test", "1"});
        trace::Tracer some({"http://127.0.0.1:9", 0.25, "test", "1"});
        auto parent = *trace::parse_traceparent(known);
        const auto child = none.begin(parent);
        CHECK(child.sampled);
        CHECK(child.trace == parent.trace);
        CHECK(child.span != parent.span);
        parent.sampled = false;
        CHECK_FALSE(all.begin(parent).sampled);
        int sampled = 0;
        for (int i = 0; i < 4000; ++i) {
            CHECK_FALSE(none.begin(std::nullopt).sampled);
            CHECK(all.begin(std::nullopt).sampled);
            sampled += some.begin(std::nullopt).sampled ? 1 : 0;
        }
        CHECK(sampled > 800);
        CHECK(sampled < 1200);
    }

    TEST_CASE("a collector that is down costs spans and nothing else")
    {
        trace::Tracer tracer({"http://127.0.0.1:9", 1, "test", "1"});
        constexpr std::uint64_t spans = 20'000;
        for (std::uint64_t i = 0; i < spans; ++i) {
            trace::Span span;
            span.context = tracer.begin(std::nullopt);
            tracer.end(std::move(span));
        }
        CHECK(tracer.exported() == 0);
        CHECK(tracer.dropped() > 0);
        CHECK(tracer.dropped() <= spans);
    }

    TEST_CASE("spans in the JSON form of OTLP")
    {
        trace::Span span;
        span.context = *trace::parse_traceparent(known);
        span.parent = trace::parse_traceparent("00-0af7651916cd43dd8448eb211c80319c-00000000000000aa-01");
        span.name = "GET /events";
        span.kind = trace::Kind::server;
        span.start = trace::Time{std::chrono::milliseconds{1'700'000'000'123}};
        span.end = span.start + std::chrono::milliseconds(5);
        span.attributes = {{"a", std::string("x")}, {"b", std::int64_t{7}}, {"c", 0.5}};
        span.links = {*span.parent};
        span.failed = true;
        const auto whole = boost::json::parse(trace::otlp_json({&span, 1}, "polis-api", "1.2"));
        const auto& resource = whole.at("resourceSpans").at(0);
        CHECK(resource.at("resource").at("attributes").at(0) ==
              boost::json::parse(R"({"key": "service.name", "value": {"stringValue": "polis-api"}})"));
        CHECK(resource.at("scopeSpans").at(0).at("spans").at(0) == boost::json::parse(R"({
            "traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": "b7ad6b7169203331",
            "parentSpanId": "00000000000000aa", "name": "GET /events", "kind": 2,
            "startTimeUnixNano": "1700000000123000000", "endTimeUnixNano": "1700000000128000000",
            "attributes": [{"key": "a", "value": {"stringValue": "x"}}, {"key": "b", "value": {"intValue": "7"}},
                           {"key": "c", "value": {"doubleValue": 0.5}}],
            "links": [{"traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": "00000000000000aa"}],
            "status": {"code": 2}})"));
    }

    TEST_CASE("a line that is logged in a span names its trace")
    {
        std::ostringstream out;
        infra::init_logging({.logger = "test", .stream = &out});
        const auto context = *trace::parse_traceparent(known);
        {
            const trace::Scope scope(context);
            infra::log_info("inside");
        }
        infra::log_info("outside");
        infra::init_logging({});
        const auto text = out.str();
        CHECK(text.find(R"("event":"inside","trace_id":"0af7651916cd43dd8448eb211c80319c"})") !=
              std::string::npos);
        CHECK(text.find(R"("event":"outside"})") != std::string::npos);
    }
}
