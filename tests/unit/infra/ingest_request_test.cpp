#include "api/ingest_request.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

TEST_SUITE("infra/api/ingest_request")
{
    using infra::http::Header;
    using infra::http::Request;
    using namespace std::chrono_literals;

    namespace {

    Request request_of(std::string content_type, std::string body, std::vector<Header> headers = {})
    {
        Request request;
        request.method = "POST";
        request.headers = std::move(headers);
        if (!content_type.empty()) request.headers.push_back({"content-type", std::move(content_type)});
        request.body = std::move(body);
        return request;
    }

    // "key|text" or "key|fault: ..." for each item; "whole: ..." when there are none.
    std::vector<std::string> items_of(const Request& request)
    {
        const auto read = infra::api::read_ingest_request(request);
        if (!read.has_value()) return {"whole: " + read.error().detail};
        std::vector<std::string> out;
        for (const auto& item : read->items) {
            out.push_back(item.envelope.request_key + "|" +
                          (item.document.has_value() ? std::string(item.document->text)
                                                     : "fault: " + item.document.error().detail));
        }
        return out;
    }

    using Texts = std::vector<std::string>;

    const std::string ndjson = "application/x-ndjson";
    const std::string cloud = "application/cloudevents+json";
    const std::string cloud_batch = "application/cloudevents-batch+json";

    }  // namespace

    TEST_CASE("a JSON body is one event, whatever its JSON type is called")
    {
        const std::string types[] = {
            "",
            "application/json",
            "Application/JSON",
            "application/json; charset=utf-8",
            "application/json;charset=utf-8",
            " application/json ; x=y",
            "application/problem+json",
            "application/vnd.city.v1+json",
        };
        for (const auto& type : types) {
            CAPTURE(type);
            const auto request = request_of(type, R"( {"a":1.50} )");
            const auto read = infra::api::read_ingest_request(request);
            REQUIRE(read.has_value());
            CHECK_FALSE(read->batch);
            REQUIRE(read->items.size() == 1);
            REQUIRE(read->items[0].document.has_value());
            CHECK(read->items[0].document->text == R"( {"a":1.50} )");
            CHECK(read->items[0].document->value.at("a") == 1.5);
            CHECK(read->items[0].envelope.request_key.empty());
            CHECK_FALSE(read->items[0].envelope.occurred_at.has_value());
        }
    }

    TEST_CASE("another content type is refused")
    {
        for (const std::string type :
             {"text/plain", "text/json", "application/xml", "application/x-www-form-urlencoded",
              "application/jsonx", "json", "multipart/form-data; boundary=x", "application/json-seq",
              "image/svg+xml", "text/x+json"}) {
            CAPTURE(type);
            CHECK(items_of(request_of(type, "{}")) ==
                  Texts{"whole: the body must be JSON: send Content-Type: application/json"});
        }
    }

    TEST_CASE("a body that is not JSON is a fault of its item")
    {
        struct Row {
            std::string body;
            std::string item;
        };
        const Row rows[] = {
            {"", "|fault: not valid JSON at byte 0"},
            {"  ", "|fault: not valid JSON at byte 2"},
            {R"({"a":)", "|fault: not valid JSON at byte 5"},
            {R"({"a":1e999})", "|fault: JSON has a number out of range at /a"},
            {R"({"a":"\u0000"})", "|fault: JSON has a NUL character in a string at /a"},
            {R"({"a":18446744073709551616})", "|fault: JSON has an integer beyond 64 bits at /a"},
            {"null", "|null"},
        };
        for (const Row& row : rows) {
            CAPTURE(row.body);
            const auto items = items_of(request_of("application/json", row.body));
            REQUIRE(items.size() == 1);
            CHECK(items[0].starts_with(row.item));
        }
    }

    TEST_CASE("the key comes from the query, else from the header; empty is absent")
    {
        struct Row {
            std::vector<std::pair<std::string, std::string>> query;
            std::string header;
            std::string key;
        };
        const Row rows[] = {
            {{}, "", ""},
            {{{"dedupe_key", "q"}}, "", "q"},
            {{{"dedupe_key", "q"}}, "h", "q"},
            {{{"dedupe_key", ""}}, "h", "h"},
            {{{"dedupe_key", ""}}, "", ""},
            {{{"dedupe_key", "a"}, {"dedupe_key", "b"}}, "", "b"},
            {{{"other", "x"}}, "h", "h"},
        };
        for (const Row& row : rows) {
            CAPTURE(row.key);
            auto request = request_of("application/json", "{}", {{"IDEMPOTENCY-KEY", row.header}});
            request.query = row.query;
            CHECK(items_of(request) == Texts{row.key + "|{}"});
        }
    }

    TEST_CASE("an array is a batch, and each item has its own key")
    {
        auto request = request_of("application/json", " [ {\"a\":1.0} ,[], {\"b\":1e999}]");
        const auto read = infra::api::read_ingest_request(request);
        REQUIRE(read.has_value());
        CHECK(read->batch);
        CHECK(items_of(request) ==
              Texts{R"(|{"a":1.0})", "|[]", "|fault: JSON has a number out of range at /b"});
        request.query = {{"dedupe_key", "k"}};
        CHECK(items_of(request) ==
              Texts{R"(k#0|{"a":1.0})", "k#1|[]", "k#2|fault: JSON has a number out of range at /b"});
        CHECK(items_of(request_of("application/json", "[]")).empty());
        const auto broken = items_of(request_of("application/json", "[{},"));
        REQUIRE(broken.size() == 1);
        CHECK(broken[0].starts_with("whole: not valid JSON at byte 4"));
    }

    TEST_CASE("NDJSON is a batch of lines; blank ones do not count, a bad one stops no neighbour")
    {
        struct Row {
            std::string body;
            Texts items;
        };
        const Row rows[] = {
            {"", {}},
            {"\n\r\n \t\n", {}},
            {"{\"a\":1}", {"k#0|{\"a\":1}"}},
            {"{\"a\":1}\n", {"k#0|{\"a\":1}"}},
            {"\n {\"a\":1} \r\n\n{\"b\":2}\r\n", {"k#0|{\"a\":1}", "k#1|{\"b\":2}"}},
            {"{}\n{\"n\":1e999}\n[1]\n",
             {"k#0|{}", "k#1|fault: JSON has a number out of range at /n", "k#2|[1]"}},
        };
        for (const Row& row : rows) {
            CAPTURE(row.body);
            auto request = request_of(ndjson, row.body, {{"Idempotency-Key", "k"}});
            CHECK(items_of(request) == row.items);
            const auto read = infra::api::read_ingest_request(request);
            REQUIRE(read.has_value());
            CHECK(read->batch);
        }
        const auto broken = items_of(request_of(ndjson, "{\n}\n{}"));
        REQUIRE(broken.size() == 3);
        CHECK(broken[0].starts_with("|fault: not valid JSON at byte 1"));
        CHECK(broken[1].starts_with("|fault: not valid JSON at byte 0"));
        CHECK(broken[2] == "|{}");
    }

    TEST_CASE("a batch has at most 1,000 items")
    {
        struct Row {
            std::string type;
            std::string open, item, separator, close;
        };
        const Row rows[] = {
            {"application/json", "[", "{}", ",", "]"},
            {cloud_batch, "[", "{}", ",", "]"},
            {ndjson, "", "{}", "\n", "\n\n"},
        };
        for (const Row& row : rows) {
            CAPTURE(row.type);
            const auto body_of = [&row](int count) {
                std::string body = row.open;
                for (int i = 0; i < count; ++i) body += (i > 0 ? row.separator : "") + row.item;
                return body + row.close;
            };
            CHECK(items_of(request_of(row.type, body_of(1000))).size() == 1000);
            CHECK(items_of(request_of(row.type, body_of(1001))) ==
                  Texts{"whole: more than 1000 items in one batch"});
        }
    }

    TEST_CASE("a structured CloudEvent gives its data, its id as the key and its time")
    {
        const std::string body = R"({"specversion":"1.0","id":"e-1","source":"/s","type":"t",)"
                                 R"("time":"2026-11-21T04:00:00.5+01:00","data":{"a":1.50}})";
        for (const std::string type :
             {"application/cloudevents+json", "Application/CloudEvents+JSON; charset=utf-8"}) {
            CAPTURE(type);
            auto request = request_of(type, body, {{"Idempotency-Key", "other"}});
            request.query = {{"dedupe_key", "another"}};
            CHECK(items_of(request) == Texts{R"(e-1|{"a":1.50})"});
            const auto read = infra::api::read_ingest_request(request);
            REQUIRE(read.has_value());
            CHECK_FALSE(read->batch);
            const domain::TimePoint time =
                std::chrono::sys_days{std::chrono::year{2026} / 11 / 21} + 3h + 500ms;
            CHECK(read->items[0].envelope.occurred_at == time);
            CHECK(read->items[0].document->value.at("a") == 1.5);
        }
    }

    TEST_CASE("a CloudEvent without what it must have is a fault of its item")
    {
        struct Row {
            std::string body;
            std::string item;
        };
        const std::string missing = "|fault: CloudEvent attribute ";
        const Row rows[] = {
            {"[]", "|fault: a CloudEvent must be a JSON object"},
            {"{", "|fault: not valid JSON at byte 1: incomplete JSON"},
            {"{}", missing + "specversion is missing or malformed"},
            {R"({"specversion":"0.3","id":"1","source":"s","type":"t","data":{}})",
             missing + "specversion is missing or malformed"},
            {R"({"specversion":1.0,"id":"1","source":"s","type":"t","data":{}})",
             missing + "specversion is missing or malformed"},
            {R"({"specversion":"1.0","source":"s","type":"t","data":{}})",
             missing + "id is missing or malformed"},
            {R"({"specversion":"1.0","id":"","source":"s","type":"t","data":{}})",
             missing + "id is missing or malformed"},
            {R"({"specversion":"1.0","id":7,"source":"s","type":"t","data":{}})",
             missing + "id is missing or malformed"},
            {R"({"specversion":"1.0","id":"1","type":"t","data":{}})",
             missing + "source is missing or malformed"},
            {R"({"specversion":"1.0","id":"1","source":"s","data":{}})",
             missing + "type is missing or malformed"},
            {R"({"specversion":"1.0","id":"1","source":"s","type":"t","time":"today","data":{}})",
             missing + "time is missing or malformed"},
            {R"({"specversion":"1.0","id":"1","source":"s","type":"t"})",
             "|fault: the CloudEvent has no data"},
            {R"({"specversion":"1.0","id":"1","source":"s","type":"t","data_base64":"e30="})",
             "|fault: the CloudEvent has its data in data_base64; events are JSON: send the JSON in data"},
            {R"({"specversion":"1.0","id":"1","source":"s","type":"t","data":null})", "1|null"},
            {R"({"data":{"x":0},"specversion":"1.0","id":"1","source":"s","type":"t","data":{"a":[1]}})",
             R"(1|{"a":[1]})"},
        };
        for (const Row& row : rows) {
            CAPTURE(row.body);
            CHECK(items_of(request_of(cloud, row.body)) == Texts{row.item});
        }
    }

    TEST_CASE("a CloudEvents batch has a key and a fault per event")
    {
        const std::string body =
            R"([{"specversion":"1.0","id":"a","source":"s","type":"t","data":{"n":1}},)"
            R"({"specversion":"1.0","id":"b","source":"s","type":"t"},7,)"
            R"({"specversion":"1.0","id":"c","source":"s","type":"t","data":{"n":1e999}},)"
            R"({"specversion":"1.0","id":"d","source":"s","type":"t","data":{"n":2}}])";
        const auto request = request_of(cloud_batch, body, {{"Idempotency-Key", "k"}});
        CHECK(items_of(request) == Texts{R"(a|{"n":1})", "|fault: the CloudEvent has no data",
                                         "|fault: a CloudEvent must be a JSON object",
                                         "|fault: JSON has a number out of range at /data/n",
                                         R"(d|{"n":2})"});
        const auto read = infra::api::read_ingest_request(request);
        REQUIRE(read.has_value());
        CHECK(read->batch);
        CHECK(items_of(request_of(cloud_batch, "{}")) == Texts{"whole: not a JSON array"});
    }

    TEST_CASE("a binary CloudEvent has its attributes in headers and its data as the body")
    {
        const std::vector<Header> whole = {{"ce-specversion", "1.0"},
                                           {"CE-ID", "e-1"},
                                           {"ce-source", "/s"},
                                           {"ce-type", "t"},
                                           {"ce-time", "2026-11-21T04:00:00Z"}};
        const auto request = request_of("application/json", R"({"a":1.50})", whole);
        CHECK(items_of(request) == Texts{R"(e-1|{"a":1.50})"});
        const auto read = infra::api::read_ingest_request(request);
        REQUIRE(read.has_value());
        CHECK_FALSE(read->batch);
        const domain::TimePoint time = std::chrono::sys_days{std::chrono::year{2026} / 11 / 21} + 4h;
        CHECK(read->items[0].envelope.occurred_at == time);

        // Without specversion and id it is a plain event; with one of the two the others must be there.
        CHECK(items_of(request_of("", "{}", {{"ce-source", "s"}, {"ce-type", "t"}})) == Texts{"|{}"});
        for (std::size_t left_out = 0; left_out < 4; ++left_out) {
            auto headers = whole;
            headers.erase(headers.begin() + static_cast<std::ptrdiff_t>(left_out));
            const std::string names[] = {"specversion", "id", "source", "type"};
            CAPTURE(names[left_out]);
            CHECK(items_of(request_of("application/json", "{}", headers)) ==
                  Texts{"whole: CloudEvent attribute " + names[left_out] + " is missing or malformed"});
        }
        auto bad_time = whole;
        bad_time.back().value = "21 Nov 2026";
        CHECK(items_of(request_of("application/json", "{}", bad_time)) ==
              Texts{"whole: CloudEvent attribute time is missing or malformed"});
    }
}
