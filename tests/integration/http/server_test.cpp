#include "server_support.hpp"

#include <doctest/doctest.h>

#include <string>
#include <system_error>
#include <variant>

using namespace polis_test;

TEST_SUITE("http server")
{
    TEST_CASE("an answer has a date and a length, and no server name")
    {
        Fixture fixture;
        const std::string answer = fixture.once(get("/health"));
        CHECK(answer.starts_with("HTTP/1.1 200 OK\r\nDate: "));
        CHECK(has(answer, " GMT\r\n"));
        CHECK(has(answer, "Content-Length: 7\r\n"));
        CHECK(has(answer, "Content-Type: text/plain\r\n"));
        CHECK_FALSE(has(answer, "Server:"));
        CHECK_FALSE(has(answer, "Connection:"));
        CHECK(body(answer) == "healthy");
    }

    TEST_CASE("captures, query and headers reach the handler")
    {
        Fixture fixture;
        const std::string answer = fixture.once(get("/items/a%20b%2Fc?q=first&q=1%2B1+x", "X-Test: yes\r\n"));
        CHECK(body(answer) == "a b/c|1+1 x|/items/{id}|/items/a%20b%2Fc|yes");
        CHECK(body(fixture.once(get("/files/css/a.css"))) == "css/a.css");
        CHECK(status(fixture.once(get("/items/1?q=%zz"))) == 400);
    }

    TEST_CASE("routes that are not there")
    {
        Fixture fixture;
        const std::string missing = fixture.once(get("/nowhere"));
        CHECK(status(missing) == 404);
        CHECK(body(missing) ==
              R"({"type":"about:blank","title":"Not Found","status":404,"detail":"Not Found"})");
        const std::string method = fixture.once(get("/echo"));
        CHECK(status(method) == 405);
        CHECK(has(method, "Allow: POST\r\n"));
        CHECK(has(method, R"("detail":"Method Not Allowed")"));
        const std::string slash = fixture.once(get("/items/7/?q=1"));
        CHECK(status(slash) == 307);
        CHECK(has(slash, "Location: /items/7?q=1\r\n"));
        for (const char* path : {"/items/", "/items/%zz", "//items/7", "/items//7", "/files/../x",
                                 "/files/%2e%2e/x", "//evil/items/", "/items/7//"}) {
            CAPTURE(path);
            CHECK(status(fixture.once(get(path))) == 404);
        }
    }

    TEST_CASE("an answer to HEAD has no body")
    {
        Fixture fixture;
        Client client = fixture.client();
        client.send("HEAD /health HTTP/1.1\r\nHost: h\r\n\r\n" + get("/health"));
        const auto head = client.receive(false);
        CHECK(status(head) == 200);
        CHECK(head.find("Content-Length: 7\r\n") != std::string::npos);
        CHECK(body(client.receive()) == "healthy");
    }

    TEST_CASE("a second route of the same method and path")
    {
        http::Router router;
        router.add("GET", "/a", nullptr);
        router.add("POST", "/a", nullptr);
        CHECK_THROWS_AS(router.add("GET", "/a", nullptr), std::logic_error);
    }

    TEST_CASE("a literal segment wins against a hole, whatever the order")
    {
        http::Router router;
        router.add("GET", "/a/{*}", nullptr);
        router.add("GET", "/a/{id}", nullptr);
        router.add("GET", "/a/me", nullptr);
        CHECK(std::get<http::Match>(router.match("GET", "/a/me")).route->path == "/a/me");
        CHECK(std::get<http::Match>(router.match("GET", "/a/%6De")).route->path == "/a/me");
        CHECK(std::get<http::Match>(router.match("GET", "/a/x")).route->path == "/a/{id}");
        CHECK(std::get<http::Match>(router.match("GET", "/a/x/y")).captures.at(0) == "x/y");
    }

    TEST_CASE("a big answer arrives whole")
    {
        Fixture fixture;
        CHECK(body(fixture.once(get("/big"))).size() == 8'000'000);
    }

    TEST_CASE("line breaks do not leave in header values")
    {
        Fixture fixture;
        CHECK(has(fixture.once(get("/split")), "\r\nX-Value: aX-Evil: 1\r\n"));
    }

    TEST_CASE("every answer is observed once, with the route and not the path")
    {
        Fixture fixture;
        fixture.once(get("/items/7"));
        fixture.once(get("/nowhere"));
        fixture.once("BREW /health HTTP/1.1\r\nHost: h\r\n\r\n");
        const auto observed = fixture.observed(3);
        REQUIRE(observed.size() == 3);
        CHECK(observed[0].method == "GET");
        CHECK(observed[0].route == "/items/{id}");
        CHECK(observed[0].status == 200);
        CHECK(observed[1].route.empty());
        CHECK(observed[1].status == 404);
        CHECK(observed[2].method == "other");
        CHECK(observed[2].status == 405);
    }

    TEST_CASE("connections beyond the maximum are closed, and places become free again")
    {
        http::ServerOptions options;
        options.connections_max = 2;
        Fixture fixture(options);
        {
            Client first = fixture.client();
            Client second = fixture.client();
            first.send(get("/health"));
            second.send(get("/health"));
            CHECK(status(first.receive()) == 200);
            CHECK(status(second.receive()) == 200);
            Client third = fixture.client();
            CHECK(third.receive_to_end() == std::optional<std::string>(""));
        }
        bool served = false;
        for (int turn = 0; turn < 200 && !served; ++turn) {
            served = status(fixture.once(get("/health"))) == 200;
            if (!served) std::this_thread::sleep_for(10ms);
        }
        CHECK(served);
    }

    TEST_CASE("an address in use")
    {
        Fixture fixture;
        http::ServerOptions options;
        options.port = fixture.server().port();
        const http::Router router;
        CHECK_THROWS_AS(http::Server(options, router, {}), std::system_error);
    }
}
