#include "server_support.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <deque>
#include <string>
#include <thread>
#include <vector>

using namespace polis_test;

TEST_SUITE("http server: replies and drain")
{
    TEST_CASE("a later answer does not overtake an earlier one")
    {
        Fixture fixture;
        Client client = fixture.client();
        client.send(get("/later") + get("/health"));
        const http::Reply reply = fixture.desk().take();
        CHECK(client.silent_for(100ms));
        reply(text("first"));
        CHECK(body(client.receive()) == "first");
        CHECK(body(client.receive()) == "healthy");
    }

    TEST_CASE("replies from another thread, in any order, on several io threads")
    {
        http::ServerOptions options;
        options.threads = 3;
        Fixture fixture(options);
        std::deque<Client> clients;
        for (int number = 0; number < 60; ++number) {
            clients.emplace_back(fixture.server().port());
            clients.back().send(get("/later"));
        }
        std::vector<http::Reply> replies;
        replies.reserve(60);
        for (int number = 0; number < 60; ++number) replies.push_back(fixture.desk().take());
        std::thread writer([&] {
            for (const http::Reply& reply : replies) {
                reply(text("once"));
                reply(text("twice"));  // must be harmless
            }
        });
        for (Client& client : clients) CHECK(body(client.receive()) == "once");
        writer.join();
        clients.front().send(get("/health"));
        CHECK(body(clients.front().receive()) == "healthy");
    }

    TEST_CASE("a dropped reply and a failing handler are answered 500")
    {
        Fixture fixture;
        for (const char* path : {"/dropped", "/throws"}) {
            const std::string answer = fixture.once(get(path));
            CHECK(status(answer) == 500);
            CHECK(has(answer, R"("detail":"Internal Server Error")"));
            CHECK_FALSE(has(answer, "secret"));
        }
        Client client = fixture.client();
        client.send(get("/later"));
        {
            const http::Reply dropped_here = fixture.desk().take();
        }
        CHECK(status(client.receive()) == 500);
    }

    TEST_CASE("a reply whose client or server is gone")
    {
        http::Reply after_server;
        {
            Fixture fixture;
            {
                Client client = fixture.client();
                client.send(get("/later"));
                after_server = fixture.desk().take();
                client.send(get("/later"));
            }
            after_server(text("nobody reads this"));
            Client client = fixture.client();
            client.send(get("/later"));
            after_server = fixture.desk().take();
        }
        after_server(text("nobody at all"));
    }

    TEST_CASE("drain answers what is in progress, closes what is idle and returns")
    {
        http::ServerOptions options;
        options.threads = 2;
        Fixture fixture(options);
        Client idle = fixture.client();
        Client kept = fixture.client();
        kept.send(get("/health"));
        CHECK(status(kept.receive()) == 200);
        Client busy = fixture.client();
        busy.send(get("/later"));
        const http::Reply reply = fixture.desk().take();
        Client half = fixture.client();
        half.send("POST /echo HTTP/1.1\r\nHost: h\r\n");
        std::this_thread::sleep_for(100ms);

        std::atomic<bool> drained = false;
        std::thread stopper([&] {
            fixture.server().drain(5s);
            drained = true;
        });
        CHECK(idle.receive_to_end() == std::optional<std::string>(""));
        CHECK(kept.receive_to_end() == std::optional<std::string>(""));
        CHECK_FALSE(fixture.client().connected());
        CHECK_FALSE(drained.load());
        half.send("Content-Length: 4\r\n\r\nhalf");
        const std::string finished = half.receive();
        CHECK(body(finished) == "half");
        CHECK(has(finished, "Connection: close\r\n"));
        reply(text("busy"));
        const std::string answer = busy.receive();
        CHECK(body(answer) == "busy");
        CHECK(has(answer, "Connection: close\r\n"));
        stopper.join();
        fixture.server().drain(5s);
    }

    TEST_CASE("drain cuts after its limit, and a late reply is harmless")
    {
        Fixture fixture;
        Client busy = fixture.client();
        busy.send(get("/later"));
        const http::Reply reply = fixture.desk().take();
        const auto start = std::chrono::steady_clock::now();
        fixture.server().drain(200ms);
        const auto taken = std::chrono::steady_clock::now() - start;
        CHECK(taken >= 200ms);
        CHECK(taken < 2s);
        CHECK(busy.receive_to_end() == std::optional<std::string>(""));
        reply(text("late"));
    }

    TEST_CASE("drain under load, many times")
    {
        for (int round = 0; round < 20; ++round) {
            http::ServerOptions options;
            options.threads = 2;
            Fixture fixture(options);
            std::atomic<bool> stop = false;
            std::vector<std::thread> clients;
            clients.reserve(4);
            for (int number = 0; number < 4; ++number) {
                clients.emplace_back([&] {
                    while (!stop) fixture.once(get("/health"));
                });
            }
            std::this_thread::sleep_for(20ms);
            fixture.server().drain(1s);
            stop = true;
            for (std::thread& client : clients) client.join();
        }
    }

    TEST_CASE("a server that was never started")
    {
        const http::Router router;
        http::Server server({}, router, {});
        CHECK(server.port() != 0);
        server.drain(1s);
    }
}
