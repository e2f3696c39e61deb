#include "server_support.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <string>
#include <thread>

using namespace polis_test;

TEST_SUITE("http server: framing, limits and time")
{
    TEST_CASE("smuggling shapes and malformed requests")
    {
        Fixture fixture;
        const std::string inner = post("{}");
        const std::string chunked = "2\r\n{}\r\n0\r\n\r\n";
        for (const std::string& bytes : {
                 post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n" + inner),
                 post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", chunked + inner),
                 post("Content-Length: 2\r\nContent-Length: 3\r\n", "{}" + inner),
                 post("Content-Length: 2\r\nContent-Length: 2\r\n", "{}" + inner),
                 post("Content-Length: 2, 2\r\n", "{}" + inner),
                 post("Content-Length: +2\r\n", "{}" + inner),
                 post("Content-Length: 0x2\r\n", "{}" + inner),
                 post("Content-Length: 18446744073709551618\r\n", "{}" + inner),
                 post("Transfer-Encoding: gzip\r\n", "{}" + inner),
                 post("Transfer-Encoding: gzip, chunked\r\n", chunked + inner),
                 post("Transfer-Encoding: chunked, identity\r\n", chunked + inner),
                 post("Transfer-Encoding: xchunked\r\n", chunked + inner),
                 post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", chunked + inner),
                 "POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked,
                 post("Content-Length : 2\r\n", "{}" + inner),
                 post("X-Folded: a\r\n\tTransfer-Encoding: chunked\r\nContent-Length: 2\r\n", "{}" + inner),
                 post("X-Nul: a" + std::string(1, '\0') + "\r\nContent-Length: 2\r\n", "{}"),
                 post("X-Cr: a\rTransfer-Encoding: chunked\r\nContent-Length: 2\r\n", "{}"),
                 std::string("POST /echo HTTP/1.1\nHost: h\nContent-Length: 2\n\n{}"),
                 std::string("POST /echo HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}"),
                 post("Host: i\r\nContent-Length: 2\r\n", "{}"),
                 post("Transfer-Encoding: chunked\r\n", "zz\r\n{}\r\n0\r\n\r\n"),
                 post("Transfer-Encoding: chunked\r\n", "fffffffffffffffff\r\n{}\r\n0\r\n\r\n"),
                 post("Transfer-Encoding: chunked\r\n", "1\r\n{}\r\n0\r\n\r\n"),
                 get("/health", "Content-Length: 2\r\n") + "{}",
                 get("/health", "Transfer-Encoding: chunked\r\n") + chunked,
                 get("http://h/health"),
                 get("*"),
                 get("health"),
                 std::string("GET /health\r\n\r\n"),
                 std::string("GET /health HTTP/2.0\r\nHost: h\r\n\r\n"),
                 std::string("\x16\x03\x01 tls\r\n\r\n"),
             }) {
            check_refused(fixture, bytes, 400);
        }
        check_refused(fixture, post("Content-Length: 2\r\nExpect: magic\r\n", ""), 417);
    }

    TEST_CASE("limits of header and body")
    {
        http::ServerOptions options;
        options.header_bytes_max = 2048;
        options.body_bytes_max = 1000;
        Fixture fixture(options);
        check_refused(fixture, get("/health", "X-Big: " + std::string(4000, 'a') + "\r\n"), 431);
        check_refused(fixture, get("/" + std::string(300'000, 'a')).substr(0, 300'000), 431);
        check_refused(fixture, post("Content-Length: 1001\r\n", ""), 413);
        check_refused(fixture, post("Content-Length: 1001\r\nExpect: 100-continue\r\n", ""), 413);
        check_refused(
            fixture,
            post("Transfer-Encoding: chunked\r\n", "3e9\r\n" + std::string(1001, 'c') + "\r\n0\r\n\r\n"),
            413);
        CHECK(status(fixture.once(post(std::string(1000, 'x')))) == 200);
        CHECK(status(fixture.once(get("/health", "X-Big: " + std::string(1900, 'a') + "\r\n"))) == 200);
    }

    TEST_CASE("a client that sends on after a refusal still reads it")
    {
        http::ServerOptions options;
        options.body_bytes_max = 1000;
        Fixture fixture(options);
        Client client = fixture.client();
        client.send(post("Content-Length: 50000\r\n", std::string(50'000, 'x')));
        CHECK(status(client.receive()) == 413);
    }

    TEST_CASE("endless chunk extensions are refused")
    {
        Fixture fixture;
        Client client = fixture.client();
        client.send(post("Transfer-Encoding: chunked\r\n", "1;" + std::string(300'000, 'x')));
        CHECK(status(client.receive()) == 400);
    }

    TEST_CASE("a slow request has one deadline for all of it")
    {
        http::ServerOptions options;
        options.read_timeout = 300ms;
        Fixture fixture(options);
        for (const std::string& bytes : {get("/health"), post("Content-Length: 1000\r\n", "")}) {
            Client client = fixture.client();
            client.send(bytes.substr(0, bytes.size() - 2));
            if (bytes.starts_with("POST")) client.send("\r\n");
            int sent = 0;
            while (sent < 40 && client.silent_for(50ms)) {
                client.send("x");
                ++sent;
            }
            CHECK(sent < 40);  // each byte came in time, all of them together did not
            CHECK(client.receive_to_end() == std::optional<std::string>(""));
        }
    }

    TEST_CASE("an idle connection is closed in its own time")
    {
        http::ServerOptions options;
        options.idle_timeout = 200ms;
        Fixture fixture(options);
        Client client = fixture.client();
        client.send(get("/health"));
        CHECK(status(client.receive()) == 200);
        CHECK(client.receive_to_end() == std::optional<std::string>(""));
    }

    TEST_CASE("a client that reads nothing is cut off")
    {
        http::ServerOptions options;
        options.write_timeout = 200ms;
        Fixture fixture(options);
        Client client = fixture.client();
        client.send(get("/big"));
        std::this_thread::sleep_for(600ms);
        const auto received = client.receive_to_end();
        REQUIRE(received.has_value());
        CHECK(received->size() < 8'000'000);
    }

    TEST_CASE("a request that ends early is refused")
    {
        Fixture fixture;
        Client client = fixture.client();
        client.send(post("Content-Length: 10\r\n", "abc"));
        client.finish_sending();
        CHECK(status(client.receive()) == 400);
    }

    TEST_CASE("pipelined requests are answered in order")
    {
        Fixture fixture;
        Client client = fixture.client();
        std::string bytes;
        for (int number = 0; number < 200; ++number) bytes += post("number " + std::to_string(number));
        client.send(bytes);
        for (int number = 0; number < 200; ++number) {
            CHECK(body(client.receive()) == "number " + std::to_string(number));
        }
    }

    TEST_CASE("the request decides whether the connection is kept")
    {
        Fixture fixture;
        Client closing = fixture.client();
        closing.send(get("/health", "Connection: close\r\n"));
        CHECK(has(closing.receive(), "Connection: close\r\n"));
        CHECK(closing.receive_to_end() == std::optional<std::string>(""));
        Client old = fixture.client();
        old.send("GET /health HTTP/1.0\r\n\r\n");
        CHECK(has(old.receive(), "Connection: close\r\n"));
        CHECK(old.receive_to_end() == std::optional<std::string>(""));
        Client old_kept = fixture.client();
        old_kept.send("GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /health HTTP/1.0\r\n\r\n");
        CHECK(has(old_kept.receive(), "Connection: keep-alive\r\n"));
        CHECK(body(old_kept.receive()) == "healthy");
    }

    TEST_CASE("a chunked body, byte by byte, trailers left out")
    {
        Fixture fixture;
        Client client = fixture.client();
        const std::string bytes =
            post("Transfer-Encoding: chunked\r\n", "3;x=y\r\nabc\r\n1\r\nd\r\n0\r\nHost: evil\r\n\r\n");
        for (const char byte : bytes) client.send(std::string(1, byte));
        CHECK(body(client.receive()) == "abcd");
        client.send(post("next"));
        CHECK(body(client.receive()) == "next");
    }

    TEST_CASE("100-continue is answered before the body")
    {
        Fixture fixture;
        Client client = fixture.client();
        client.send(post("Content-Length: 4\r\nExpect: 100-Continue\r\n", ""));
        CHECK(client.receive(false) == "HTTP/1.1 100 Continue\r\n\r\n");
        client.send("body");
        CHECK(body(client.receive()) == "body");
    }
}
