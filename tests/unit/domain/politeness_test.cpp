#include "domain/address_policy.hpp"
#include "domain/circuit_breaker.hpp"
#include "domain/token_bucket.hpp"

#include <doctest/doctest.h>

#include <string>

TEST_SUITE("domain/politeness")
{
    using namespace std::chrono_literals;

    TEST_CASE("a token bucket saves up a second at most")
    {
        domain::TokenBucket bucket(10, 0s);
        CHECK(bucket.tokens(0s) == 1);
        CHECK(bucket.tokens(100s) == 10);
        for (int i = 0; i < 10; ++i) bucket.take();
        CHECK(bucket.tokens(100s) == 0);
        CHECK(bucket.next_token(100s) == 100s + 100ms);
        CHECK(bucket.tokens(100s + 100ms) == 1);
        CHECK(bucket.tokens(50s) == 1);  // a time that was before changes nothing
        bucket.set_rate(0.5, 101s);
        CHECK(bucket.tokens(200s) == 1);
    }

    TEST_CASE("a row of failures opens, a probe closes")
    {
        domain::CircuitBreaker breaker({.failures = 3, .pause = 1s, .pause_max = 3s});
        breaker.failed(0s, false);
        breaker.failed(1s, false);
        breaker.succeeded();
        breaker.failed(11s, false);
        breaker.failed(12s, false);
        CHECK(breaker.closed());  // a success began a new row
        breaker.failed(12s, false);
        CHECK_FALSE(breaker.closed());
        CHECK_FALSE(breaker.allows(12s + 999ms));
        CHECK(breaker.next_probe() == 13s);
        CHECK(breaker.allows(13s));
        breaker.probe_sent();
        CHECK_FALSE(breaker.allows(14s));  // one probe at a time
        breaker.failed(14s, false);        // sent before it opened
        CHECK_FALSE(breaker.allows(14s));
        breaker.failed(14s, true);
        CHECK(breaker.next_probe() == 16s);  // the pause doubles
        breaker.probe_sent();
        breaker.failed(16s, true);
        CHECK(breaker.next_probe() == 19s);  // and has a limit
        breaker.probe_sent();
        breaker.probe_lost();
        CHECK(breaker.allows(19s));
        breaker.probe_sent();
        breaker.succeeded();
        CHECK(breaker.closed());
    }

    bool permits(const char* text, std::vector<domain::Network> allowed = {})
    {
        const auto address = domain::parse_network(text);
        REQUIRE(address);
        return domain::AddressPolicy(std::move(allowed)).permits(address->address);
    }

    TEST_CASE("only public addresses, unless allowed")
    {
        for (const char* text : {"8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "172.32.0.1"}) {
            CAPTURE(text);
            CHECK(permits(text));
        }
        for (const char* text : {"127.0.0.1",
                                 "10.1.2.3",
                                 "172.16.0.1",
                                 "192.168.1.1",
                                 "169.254.169.254",
                                 "100.64.0.1",
                                 "0.0.0.0",
                                 "224.0.0.1",
                                 "255.255.255.255",
                                 "::1",
                                 "::",
                                 "fd00::1",
                                 "fe80::1",
                                 "ff02::1",
                                 "::ffff:127.0.0.1",
                                 "::ffff:a9fe:a9fe",
                                 "64:ff9b::7f00:1",
                                 "2002:7f00:1::",
                                 "::127.0.0.1",
                                 "192.0.2.1"}) {
            CAPTURE(text);
            CHECK_FALSE(permits(text));
        }
        CHECK(permits("10.1.2.3", {*domain::parse_network("10.1.0.0/16")}));
        CHECK(permits("::ffff:10.1.2.3", {*domain::parse_network("10.1.0.0/16")}));
        CHECK_FALSE(permits("10.2.2.3", {*domain::parse_network("10.1.0.0/16")}));
    }

    TEST_CASE("what is no network")
    {
        for (const char* text : {"", "1.2.3", "1.2.3.4.5", "1.2.3.256", "01.2.3.4", "1.2.3.4/33", "1.2.3.4/",
                                 "::1::", "1:2:3:4:5:6:7:8:9", "g::", "::/129", "1:2", "::12345"}) {
            CAPTURE(text);
            CHECK_FALSE(domain::parse_network(text));
        }
    }
}
