#include "infra/sinks/http_sink.hpp"

#include "domain/ids.hpp"
#include "loopback_server.hpp"
#include "outcomes.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <ctime>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

TEST_SUITE("infra/sinks")
{
    using domain::DeliveryOutcome;
    using domain::Verdict;
    using sink_support::LoopbackServer;
    using sink_support::message_of;
    using sink_support::Outcomes;
    using sink_support::reply;
    using sink_support::Reply;
    using sink_support::Request;
    using std::chrono::milliseconds;
    using std::chrono::seconds;

    constexpr milliseconds patient{20'000};
    constexpr milliseconds hasty{150};

    infra::HttpSinkOptions options_of(const std::string& url, milliseconds timeout = patient,
                                      std::size_t in_flight = 8)
    {
        return {.url = url, .timeout = timeout, .in_flight_max = in_flight};
    }

    DeliveryOutcome deliver_one(const infra::HttpSinkOptions& options)
    {
        Outcomes outcomes;
        infra::HttpSink sink(options);
        sink.send(message_of(), outcomes.next());
        return outcomes.wait(1).front();
    }

    DeliveryOutcome deliver_to(Reply answer, milliseconds timeout = patient)
    {
        LoopbackServer server([&](const Request&) { return answer; });
        return deliver_one(options_of(server.url(), timeout));
    }

    TEST_CASE("a message is a POST of its payload with the headers of a CloudEvent and of a webhook")
    {
        LoopbackServer server([](const Request&) { return reply(204); });
        const domain::OutboxMessage message = message_of();
        const std::time_t before = std::time(nullptr);
        CHECK(deliver_one(options_of(server.url())).verdict == Verdict::delivered);

        REQUIRE(server.requests().size() == 1);
        Request request = server.requests().front();
        const std::string id = domain::to_string(message.event_id);
        CHECK(request.line == "POST /hook?a=1 HTTP/1.1");
        CHECK(request.body == message.payload);
        CHECK(request.headers["content-type"] == "application/json");
        CHECK(request.headers["ce-specversion"] == "1.0");
        CHECK(request.headers["ce-id"] == id);
        CHECK(request.headers["ce-type"] == "event.bus");
        CHECK(request.headers["ce-source"] ==
              "/polis/events/" + domain::to_string(domain::family_base(message.event_id)));
        CHECK(request.headers["ce-time"] == "2026-11-21T04:00:00.25Z");
        CHECK(request.headers["webhook-id"] == "msg_" + id);
        CHECK(std::stoll(request.headers["webhook-timestamp"]) >= before);
        CHECK(std::stoll(request.headers["webhook-timestamp"]) <=
              std::time(nullptr) + 1);  // time() may lag a tick
        CHECK_FALSE(request.headers.contains("expect"));
        CHECK_FALSE(request.headers.contains("ce-subscription"));
    }

    TEST_CASE("a topic or a subscription cannot add a header")
    {
        LoopbackServer server([](const Request&) { return reply(200); });
        infra::HttpSinkOptions options = options_of(server.url());
        options.subscription = "mine \xC3\xA9";
        Outcomes outcomes;
        infra::HttpSink sink(options);
        domain::OutboxMessage message = message_of();
        message.topic = "event.a\r\nx-evil: 1";
        sink.send(message, outcomes.next());
        CHECK(outcomes.wait(1).front().verdict == Verdict::delivered);
        Request request = server.requests().front();
        CHECK_FALSE(request.headers.contains("x-evil"));
        CHECK(request.headers["ce-type"] == "event.a%0D%0Ax-evil:%201");
        CHECK(request.headers["ce-subscription"] == "mine%20%C3%A9");
    }

    TEST_CASE("bodies of every size arrive whole and without a wait for 100 Continue")
    {
        LoopbackServer server([](const Request&) { return reply(200); });
        Outcomes outcomes;
        infra::HttpSink sink(options_of(server.url(), patient, 1));
        const std::size_t sizes[] = {0, 1, 1024, std::size_t{2} * 1024 * 1024, 3};
        for (const std::size_t size : sizes)
            sink.send(message_of(1, std::string(size, 'x')), outcomes.next());
        for (const DeliveryOutcome& outcome : outcomes.wait(5)) CHECK(outcome.verdict == Verdict::delivered);
        const std::vector<Request> requests = server.requests();
        REQUIRE(requests.size() == 5);
        for (std::size_t i = 0; i < 5; ++i) {
            CHECK(requests[i].body == std::string(sizes[i], 'x'));
            CHECK_FALSE(requests[i].headers.contains("expect"));
        }
    }

    TEST_CASE("connections are used again and are at most in_flight_max")
    {
        LoopbackServer server([](const Request&) { return reply(200, "", "fine"); });
        constexpr std::size_t count = 2000;
        Outcomes outcomes;
        infra::HttpSink sink(options_of(server.url(), patient, 4));
        for (std::size_t i = 0; i < count; ++i) {
            sink.send(message_of(1, std::to_string(i)), outcomes.next());
        }
        for (const DeliveryOutcome& outcome : outcomes.wait(count)) {
            REQUIRE(outcome.verdict == Verdict::delivered);
        }
        CHECK(outcomes.count() == count);
        CHECK(server.connections() <= 4);
        std::set<std::string> bodies;
        for (const Request& request : server.requests()) bodies.insert(request.body);
        CHECK(server.requests().size() == count);
        CHECK(bodies.size() == count);
    }

    TEST_CASE("the status decides")
    {
        struct Row {
            unsigned status;
            Verdict verdict;
            std::string error;
        };
        const Row rows[] = {{202, Verdict::delivered, ""},        {404, Verdict::rejected, "HTTP 404"},
                            {408, Verdict::retry, "HTTP 408"},    {410, Verdict::gone, "HTTP 410"},
                            {429, Verdict::retry, "HTTP 429"},    {503, Verdict::retry, "HTTP 503"},
                            {407, Verdict::rejected, "HTTP 407"}, {401, Verdict::rejected, "HTTP 401"}};
        for (const Row& row : rows) {
            CAPTURE(row.status);
            const DeliveryOutcome outcome = deliver_to(reply(row.status, "", "nope"));
            CHECK(outcome.verdict == row.verdict);
            CHECK(outcome.error == row.error);
            CHECK_FALSE(outcome.retry_after);
        }
    }

    TEST_CASE("redirects are not followed")
    {
        LoopbackServer elsewhere([](const Request&) { return reply(200); });
        const DeliveryOutcome outcome = deliver_to(reply(307, "Location: " + elsewhere.url() + "\r\n"));
        CHECK(outcome.verdict == Verdict::rejected);
        CHECK(outcome.error == "HTTP 307");
        CHECK(elsewhere.connections() == 0);
    }

    TEST_CASE("Retry-After is read as seconds and as a date, and only when there is one")
    {
        CHECK(deliver_to(reply(503, "Retry-After: 7\r\n")).retry_after == seconds{7});
        CHECK(deliver_to(reply(429, "Retry-After: 999999999\r\n")).retry_after == std::chrono::hours{1});
        CHECK_FALSE(deliver_to(reply(503, "Retry-After: soon\r\n")).retry_after);
        CHECK_FALSE(deliver_to(reply(503, "Retry-After: Wed, 21 Oct 2015 07:28:00 GMT\r\n")).retry_after);
        CHECK_FALSE(deliver_to(reply(404, "Retry-After: 7\r\n")).retry_after);

        const std::time_t soon = std::time(nullptr) + 100;
        std::tm parts{};
        ::gmtime_r(&soon, &parts);
        char date[64];
        REQUIRE(std::strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &parts) != 0);
        const auto asked = deliver_to(reply(503, "Retry-After: " + std::string(date) + "\r\n")).retry_after;
        REQUIRE(asked);
        CHECK(*asked > seconds{60});
        CHECK(*asked <= seconds{100});
    }

    TEST_CASE("Retry-After of one answer is not that of the next")
    {
        std::atomic<int> calls = 0;
        LoopbackServer server(
            [&](const Request&) { return calls++ == 0 ? reply(503, "Retry-After: 7\r\n") : reply(503); });
        Outcomes outcomes;
        infra::HttpSink sink(options_of(server.url(), patient, 1));
        sink.send(message_of(), outcomes.next());
        sink.send(message_of(), outcomes.next());
        const std::vector<DeliveryOutcome> got = outcomes.wait(2);
        CHECK(got[0].retry_after == seconds{7});
        CHECK_FALSE(got[1].retry_after);
    }

    TEST_CASE("an answer that does not come, or does not end, is tried again")
    {
        const std::string head = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n";
        const Reply answers[] = {
            {.bytes = "", .hang = true},
            {.bytes = head + "part", .hang = true},
            {.bytes = head + "part", .close = true},
            {.bytes = ""},
            {.bytes = "HTTP/1.1 20", .close = true},
            {.bytes = "SSH-2.0-hello\r\n", .close = true},
        };
        for (const Reply& answer : answers) {
            CAPTURE(answer.bytes);
            const DeliveryOutcome outcome = deliver_to(answer, answer.hang ? hasty : patient);
            CHECK(outcome.verdict == Verdict::retry);
            CHECK_FALSE(outcome.error.empty());
            CHECK(outcome.error.find("127.0.0.1") == std::string::npos);
        }
    }

    TEST_CASE("a timeout does not harm the messages after it")
    {
        std::atomic<int> calls = 0;
        LoopbackServer server(
            [&](const Request&) { return calls++ == 0 ? Reply{.bytes = "", .hang = true} : reply(200); });
        Outcomes outcomes;
        infra::HttpSink sink(options_of(server.url(), milliseconds{500}, 1));
        sink.send(message_of(), outcomes.next());
        sink.send(message_of(), outcomes.next());
        const std::vector<DeliveryOutcome> got = outcomes.wait(2);
        CHECK(got[0].verdict == Verdict::retry);
        CHECK(got[1].verdict == Verdict::delivered);
    }

    TEST_CASE("an answer longer than anyone needs is cut off and still counts")
    {
        CHECK(deliver_to(reply(200, "", std::string(1'000'000, 'x'))).verdict == Verdict::delivered);
        CHECK(deliver_to(reply(500, "", std::string(1'000'000, 'x'))).error == "HTTP 500");
        Reply endless{.bytes = "HTTP/1.1 200 OK\r\n\r\n" + std::string(10'000, 'x'), .hang = true};
        CHECK(deliver_to(endless).verdict == Verdict::delivered);
    }

    TEST_CASE("a destination that is not there is tried again")
    {
        std::string url;
        {
            const LoopbackServer server([](const Request&) { return reply(200); });
            url = server.url();
        }
        CHECK(deliver_one(options_of(url)).verdict == Verdict::retry);
        CHECK(deliver_one(options_of("http://nowhere.invalid/", milliseconds{2000})).verdict ==
              Verdict::retry);
    }

    TEST_CASE("only HTTP is spoken, and a plain answer to TLS is a fault")
    {
        CHECK(deliver_one(options_of("file:///etc/passwd")).verdict == Verdict::retry);
        LoopbackServer server([](const Request&) { return reply(200); });
        const std::string url = "https" + server.url().substr(4);
        CHECK(deliver_one(options_of(url, milliseconds{500})).verdict == Verdict::retry);
    }

    TEST_CASE("stop() abandons what hangs and what waits, at once")
    {
        LoopbackServer server([](const Request&) { return Reply{.bytes = "", .hang = true}; });
        Outcomes outcomes;
        infra::HttpSink sink(options_of(server.url(), patient, 2));
        for (int i = 0; i < 5; ++i) sink.send(message_of(), outcomes.next());
        while (server.requests().size() < 2) std::this_thread::sleep_for(milliseconds{5});
        CHECK(outcomes.count() == 0);

        const auto start = std::chrono::steady_clock::now();
        sink.stop();
        CHECK(std::chrono::steady_clock::now() - start < patient / 2);
        CHECK(outcomes.count() == 5);
        sink.stop();
        sink.send(message_of(), outcomes.next());
        CHECK(outcomes.count() == 6);
        for (const DeliveryOutcome& outcome : outcomes.wait(6)) CHECK(outcome.verdict == Verdict::abandoned);
    }

    TEST_CASE("every message has one outcome, when many threads send and one stops")
    {
        LoopbackServer server([](const Request&) { return reply(200); });
        constexpr int threads = 4;
        constexpr int each = 300;
        std::atomic<int> done = 0;
        {
            infra::HttpSink sink(options_of(server.url()));
            std::vector<std::thread> senders;
            senders.reserve(threads);
            for (int t = 0; t < threads; ++t) {
                senders.emplace_back([&] {
                    for (int i = 0; i < each; ++i)
                        sink.send(message_of(), [&](const DeliveryOutcome&) { ++done; });
                });
            }
            while (done < threads * each / 4) std::this_thread::yield();
            sink.stop();
            for (std::thread& sender : senders) sender.join();
        }
        CHECK(done == threads * each);
    }

    TEST_CASE("done may send the next message")
    {
        LoopbackServer server([](const Request&) { return reply(200); });
        Outcomes outcomes;
        infra::HttpSink sink(options_of(server.url()));
        sink.send(message_of(), [&](const DeliveryOutcome&) { sink.send(message_of(), outcomes.next()); });
        CHECK(outcomes.wait(1).front().verdict == Verdict::delivered);
    }

    TEST_CASE("a sink without limits is refused")
    {
        CHECK_THROWS_AS(infra::HttpSink(options_of("http://127.0.0.1/", milliseconds{0})),
                        std::invalid_argument);
        CHECK_THROWS_AS(infra::HttpSink(options_of("http://127.0.0.1/", patient, 0)), std::invalid_argument);
    }
}
