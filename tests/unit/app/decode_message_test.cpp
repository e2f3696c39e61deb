#include "unit/app/stream_fakes.hpp"

#include <doctest/doctest.h>

namespace {

using domain::RejectReason;

struct Setup {
    domain::ServiceRegistry registry;
    app::IngestPolicy policy;
    fakes::ScriptedRecords records;
    std::size_t value_bytes_max = 100;
    domain::RouteTable routes{
        {{"t", {domain::RouteBy::service, "city"}}, {"r", {domain::RouteBy::record, ""}}}, {}};

    app::Decoded decode(const domain::StreamMessage& message)
    {
        const app::PrepareEvent prepare(registry, policy);
        return app::DecodeMessage(prepare, records, routes, value_bytes_max)(message);
    }
};

domain::StreamMessage message(std::string value,
                              std::vector<std::pair<std::string, std::string>> headers = {})
{
    domain::StreamMessage made{{"t", 0}, 0};
    made.value = std::move(value);
    made.headers = std::move(headers);
    return made;
}

}  // namespace

TEST_SUITE("app/decode_message")
{
    TEST_CASE("what cannot be an event is told apart")
    {
        const std::pair<std::string, RejectReason> cases[] = {
            {"", RejectReason::no_value},
            {std::string(101, ' '), RejectReason::too_large},
            {"\x01{}", RejectReason::bad_magic},
            {std::string(1, '\0'), RejectReason::short_frame},
            {"{", RejectReason::not_json},
            {"[1]", RejectReason::invalid},
            {"{\"a\":\"\xff\"}", RejectReason::not_json},
        };
        for (const auto& entry : cases) {
            const auto& [value, reason] = entry;
            CAPTURE(entry.first);
            Setup setup;
            const auto decoded = setup.decode(message(value));
            REQUIRE(std::holds_alternative<app::Rejected>(decoded));
            CHECK(domain::to_string(std::get<app::Rejected>(decoded).reason) == domain::to_string(reason));
            CHECK(std::get<app::Rejected>(decoded).service == "city");
        }
    }

    TEST_CASE("a tombstone is kept as what it is")
    {
        Setup setup;
        const auto decoded = setup.decode({{"t", 0}, 0});
        CHECK(std::get<app::Rejected>(decoded).reason == RejectReason::no_value);
    }

    TEST_CASE("the dedupe key is the CloudEvent's id, else the message's")
    {
        const std::string structured =
            R"({"specversion":"1.0","id":"s1","source":"/a","type":"t","data":{"n":1}})";
        const std::pair<domain::StreamMessage, std::string> cases[] = {
            {message(R"({"n":1})"), ""},
            {message(R"({"n":1})", {{"Message-Id", "m1"}}), "m1"},
            {message(R"({"n":1})", {{"message-id", "m1"},
                                    {"ce_specversion", "1.0"},
                                    {"ce_id", "c1"},
                                    {"ce_source", "/a"},
                                    {"ce_type", "t"}}),
             "c1"},
            {message(structured, {{"content-type", "application/cloudevents+json"}}), "s1"},
        };
        for (const auto& entry : cases) {
            const auto& [each, key] = entry;
            CAPTURE(entry.second);
            Setup setup;
            const auto decoded = setup.decode(each);
            REQUIRE(std::holds_alternative<domain::PreparedEvent>(decoded));
            CHECK(std::get<domain::PreparedEvent>(decoded).request_key == key);
            CHECK(std::get<domain::PreparedEvent>(decoded).payload == R"({"n":1})");
        }
    }

    TEST_CASE("the trace is that of the message's headers, else of the CloudEvent")
    {
        const std::string parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        const std::string other = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
        const std::string structured =
            R"({"specversion":"1.0","id":"s1","source":"/a","type":"t","data":{},"traceparent":")" + other +
            "\"}";
        const std::pair<std::string, std::string> is_structured{"content-type",
                                                                "application/cloudevents+json"};
        const std::pair<domain::StreamMessage, domain::TraceContext> cases[] = {
            {message("{}"), {}},
            {message("{}", {{"TraceParent", parent}, {"tracestate", "a=1"}}), {parent, "a=1"}},
            {message("{}", {{"traceparent", "nonsense"}, {"tracestate", "a=1"}}), {}},
            {message(structured, {is_structured}), {other, ""}},
            {message(structured, {is_structured, {"traceparent", parent}}), {parent, ""}},
        };
        for (const auto& [each, trace] : cases) {
            Setup setup;
            setup.value_bytes_max = 1000;
            const auto decoded = setup.decode(each);
            REQUIRE(std::holds_alternative<domain::PreparedEvent>(decoded));
            CHECK(std::get<domain::PreparedEvent>(decoded).trace.parent == trace.parent);
            CHECK(std::get<domain::PreparedEvent>(decoded).trace.state == trace.state);
        }
    }

    TEST_CASE("a CloudEvent with a missing attribute is no event")
    {
        Setup setup;
        const auto decoded = setup.decode(message("{}", {{"ce_id", "1"}}));
        CHECK(std::get<app::Rejected>(decoded).reason == RejectReason::bad_envelope);
    }

    TEST_CASE("a record names its service, and an unknown one may be refused")
    {
        Setup setup;
        auto record = message(std::string("\0{\"n\":1}", 8));
        record.partition.topic = "r";
        CHECK(std::get<domain::PreparedEvent>(setup.decode(record)).service == "city.Reading");
        setup.policy.reject_unknown_services = true;
        const auto decoded = setup.decode(record);
        CHECK(std::get<app::Rejected>(decoded).reason == RejectReason::unknown_service);
        CHECK(std::get<app::Rejected>(decoded).service == "city.Reading");
    }

    TEST_CASE("headers are kept in order, whatever their bytes")
    {
        CHECK(app::headers_json({{"a", "1"}, {"a", "2"}}) == R"([["a","1"],["a","2"]])");
        CHECK(app::headers_json({{"b", std::string("x\0\xffy", 4)}}) ==
              "[[\"b\",\"x\xEF\xBF\xBD\xEF\xBF\xBDy\"]]");
        CHECK(app::headers_json({{"c", "\xC3\xBC\xED\xA0\x80"}}) ==
              "[[\"c\",\"\xC3\xBC\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"]]");
    }
}
