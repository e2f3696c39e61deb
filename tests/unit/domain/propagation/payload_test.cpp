#include "domain/propagation/payload_template.hpp"

#include <boost/json/parse.hpp>
#include <doctest/doctest.h>

#include <chrono>
#include <map>
#include <random>
#include <set>
#include <string>

using namespace std::chrono_literals;
using domain::propagation::PayloadOrder;
using domain::propagation::PayloadSource;
using domain::propagation::PayloadTemplate;
using domain::propagation::RandomBits;

namespace {

RandomBits seeded(std::uint64_t seed)
{
    return [generator = std::mt19937_64(seed)]() mutable { return generator(); };
}

const domain::TimePoint now{std::chrono::sys_days{std::chrono::year{2026} / 11 / 21} + 4h};

std::string rendered(const std::string& text, std::uint64_t count = 0)
{
    const auto compiled = PayloadTemplate::compile(text);
    REQUIRE(compiled.has_value());
    return *compiled->render(count, now, seeded(1));
}

std::vector<PayloadTemplate> numbered(int count)
{
    std::vector<PayloadTemplate> payloads;
    for (int i = 0; i < count; ++i) payloads.push_back(PayloadTemplate::verbatim(std::to_string(i)));
    return payloads;
}

}  // namespace

TEST_SUITE("domain/propagation/payload_template")
{
    TEST_CASE("a text without placeholders is sent as it is")
    {
        CHECK(rendered(R"({"a": 1.50, "b":{"c":{}}})") == R"({"a": 1.50, "b":{"c":{}}})");
        const auto plain = PayloadTemplate::verbatim(R"({"a":"{{counter}}"})");
        CHECK(*plain.render(5, now, seeded(1)) == R"({"a":"{{counter}}"})");
    }

    TEST_CASE("a counter that fills a value is a number; elsewhere it is text")
    {
        CHECK(rendered(R"({"n":"{{counter}}"})") == R"({"n":1})");
        CHECK(rendered(R"({"n": "{{ counter 1000 }}" })", 7) == R"({"n": 1007 })");
        CHECK(rendered(R"({"n":"no {{counter}}"})", 1) == R"({"n":"no 2"})");
        CHECK(rendered(R"({"{{counter}}" :true})") == R"({"1" :true})");
        CHECK(rendered(R"({"n":"\"{{counter}}\""})") == R"({"n":"\"1\""})");
        CHECK(rendered(R"(["{{counter}}","{{counter}}"])") == "[1,1]");
    }

    TEST_CASE("now and uuid")
    {
        CHECK(rendered(R"({"t":"{{now}}"})") == R"({"t":"2026-11-21T04:00:00Z"})");
        const auto id = rendered("{{uuid}}");
        CHECK(id.size() == 36);
        CHECK(id[14] == '4');
        CHECK(domain::parse_uuid(id));
    }

    TEST_CASE("random numbers stay within their bounds and reach both")
    {
        const auto compiled = PayloadTemplate::compile(R"(["{{random -2 3}}","{{random 0.5 0.75}}"])");
        REQUIRE(compiled.has_value());
        const auto bits = seeded(2);
        std::set<std::int64_t> whole;
        std::set<std::string> parts;
        for (int i = 0; i < 2000; ++i) {
            const auto text = *compiled->render(0, now, bits);
            const auto value = boost::json::parse(text);
            whole.insert(value.at(0).as_int64());
            const double part = value.at(1).as_double();
            CHECK(part >= 0.5);
            CHECK(part <= 0.75);
            parts.insert(text.substr(text.find(',')));
        }
        CHECK(whole == std::set<std::int64_t>{-2, -1, 0, 1, 2, 3});
        CHECK(parts.size() == 26);
        CHECK(rendered(R"("x{{random -0.05 -0.05}}")") == R"("x-0.05")");
    }

    TEST_CASE("pick takes every choice")
    {
        const auto compiled = PayloadTemplate::compile(R"({"c":"{{pick red | dark green|blue}}"})");
        REQUIRE(compiled.has_value());
        const auto bits = seeded(3);
        std::map<std::string, int> seen;
        for (int i = 0; i < 3000; ++i)
            ++seen[boost::json::parse(*compiled->render(0, now, bits)).at("c").as_string().c_str()];
        CHECK(seen.size() == 3);
        for (const auto& [choice, times] : seen) CHECK(times > 800);
        CHECK(seen.contains("dark green"));
    }

    TEST_CASE("what is no placeholder is refused, not sent")
    {
        for (const auto* bad :
             {R"("{{count}}")", R"("{{counter")", R"("{{}}")", R"("{{random 5}}")", R"("{{random 6 1}}")",
              R"("{{random a b}}")", R"("{{random 1. 2}}")", R"("{{pick}}")", R"("{{uuid 4}}")",
              R"("{{now x}}")", R"({"a":"{{pick x","b":"y}}"})",
              R"("{{random -9223372036854775808 9223372036854775807}}")", R"("{{random 0.0000000001 1}}")"}) {
            CAPTURE(bad);
            CHECK_FALSE(PayloadTemplate::compile(bad).has_value());
        }
    }

    TEST_CASE("random_below is uniform where the bound does not divide the range")
    {
        // The largest incomplete round must be thrown away: 2^64 - 1 is in it for every bound but powers of
        // two.
        int calls = 0;
        const RandomBits bits = [&calls] { return ++calls == 1 ? ~std::uint64_t{0} : 7U; };
        CHECK(domain::propagation::random_below(bits, 10) == 7);
        CHECK(calls == 2);
    }
}

TEST_SUITE("domain/propagation/payload_source")
{
    TEST_CASE("in sequence: one after the other, round and round")
    {
        PayloadSource source(numbered(3), PayloadOrder::sequence, seeded(1));
        std::string seen;
        for (int i = 0; i < 7; ++i) seen += *source.next(now);
        CHECK(seen == "0120120");
    }

    TEST_CASE("random: every payload comes about equally often")
    {
        PayloadSource source(numbered(4), PayloadOrder::random, seeded(4));
        std::map<std::string, int> seen;
        for (int i = 0; i < 8000; ++i) ++seen[*source.next(now)];
        for (const auto& [payload, times] : seen) {
            CHECK(times > 1800);
            CHECK(times < 2200);
        }
    }

    TEST_CASE("the same seed makes the same choice, another seed another one")
    {
        const auto run = [](std::uint64_t seed) {
            PayloadSource source(numbered(10), PayloadOrder::random, seeded(seed));
            std::string seen;
            for (int i = 0; i < 50; ++i) seen += *source.next(now);
            return seen;
        };
        CHECK(run(7) == run(7));
        CHECK(run(7) != run(8));
    }
}
