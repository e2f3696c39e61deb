#include "domain/subscription.hpp"

#include "domain/base64.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <doctest/doctest.h>

#include <set>
#include <string>

TEST_SUITE("domain/subscription")
{
    domain::Result<domain::SubscriptionSettings> parse(const char* text)
    {
        return domain::parse_subscription(boost::json::parse(text).as_object());
    }

    TEST_CASE("everything that can be said")
    {
        const auto parsed = parse(R"({"topics":["event.*","x"],"filter":{"field":"a","exists":true},
            "sink":"https://a.example/hook","secrets":["whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"],
            "headers":{"Authorization":"Bearer x"},"timeout_seconds":2.5,"in_flight_max":7,"rate_per_second":0.5,
            "max_attempts":3,"start":"beginning","body":"batch","encoding":"json","enabled":false})");
        REQUIRE(parsed.has_value());
        CHECK(parsed->topics == std::vector<std::string>{"event.*", "x"});
        CHECK(parsed->filter.has_value());
        CHECK(parsed->secrets == std::vector<std::string>{"012345678901234567890123"});
        CHECK(parsed->headers.front().second == "Bearer x");
        CHECK(parsed->timeout == std::chrono::milliseconds(2500));
        CHECK(parsed->in_flight_max == 7U);
        CHECK(parsed->rate_per_second == 0.5);
        CHECK(parsed->attempts_max == 3U);
        CHECK(parsed->start == domain::DeliveryStart::beginning);
        CHECK(parsed->body == domain::DeliveryBody::batch);
        CHECK_FALSE(parsed->enabled);
    }

    TEST_CASE("every fault at once")
    {
        const auto parsed = parse(R"({"topics":["a b",7],"filter":{},"sink":5,"secrets":["short"],
            "headers":{"Host":"x","X":"a\nb"},"timeout_seconds":0,"in_flight_max":0,"rate_per_second":-1,
            "max_attempts":1.5,"start":"later","body":"heap","encoding":"xml","enabled":"yes","colour":"red"})");
        REQUIRE_FALSE(parsed.has_value());
        std::set<std::string> places;
        for (const auto& fault : parsed.error().fields) places.insert(fault.field);
        CHECK(places == std::set<std::string>{"topics[0]", "topics[1]", "filter", "sink", "secrets[0]",
                                              "headers.Host", "headers.X", "timeout_seconds", "in_flight_max",
                                              "rate_per_second", "max_attempts", "start", "body", "encoding",
                                              "enabled", "colour"});
    }

    TEST_CASE("topics match by name or prefix")
    {
        CHECK(domain::exact_topics({"event.bus", "event.tram"}).size() == 2);
        CHECK(domain::exact_topics({"event.bus", "event.t*"}).empty());
        CHECK(domain::topic_matches("event.bus", {"event.bus"}));
        CHECK(domain::topic_matches("event.bus", {"x", "event.*"}));
        CHECK(domain::topic_matches("event.bus", {"*"}));
        CHECK_FALSE(domain::topic_matches("event.bus", {"event.b", "bus*"}));
    }

    TEST_CASE("a patch replaces and null removes; answers hide secrets")
    {
        auto target = boost::json::parse(R"({"a":1,"b":2})").as_object();
        domain::merge_settings(target, boost::json::parse(R"({"a":null,"c":3})").as_object());
        CHECK(boost::json::value(target) == boost::json::parse(R"({"b":2,"c":3})"));
        const auto shown = domain::shown_settings(
            boost::json::parse(R"({"secrets":["s1","s2"],"headers":{"A":"b"}})").as_object());
        CHECK(boost::json::value(shown) ==
              boost::json::parse(R"({"secrets":["***","***"],"headers":{"A":"***"}})"));
    }

    TEST_CASE("Base64 both ways")
    {
        for (const std::string bytes : {"", "a", "ab", "abc", "\xff\xfe\x00x"}) {
            CHECK(domain::base64_decoded(domain::base64_encoded(bytes)) == bytes);
        }
        CHECK(domain::base64_encoded("ab") == "YWI=");
        CHECK_FALSE(domain::base64_decoded("YW=I"));
        CHECK_FALSE(domain::base64_decoded("YWI"));
    }
}
