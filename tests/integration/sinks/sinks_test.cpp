#include "infra/sinks/sinks.hpp"

#include "domain/ids.hpp"
#include "loopback_server.hpp"
#include "outcomes.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdio>
#include <string>
#include <unistd.h>

TEST_SUITE("infra/sinks")
{
    using domain::DeliveryOutcome;
    using domain::Verdict;
    using sink_support::LoopbackServer;
    using sink_support::message_of;
    using sink_support::Outcomes;
    using sink_support::reply;
    using sink_support::Request;

    // What `action` writes to standard output.
    template <class Action>
    std::string standard_output_of(Action action)
    {
        std::FILE* const file = std::tmpfile();
        REQUIRE(file != nullptr);
        std::fflush(stdout);
        const int saved = ::dup(STDOUT_FILENO);
        ::dup2(::fileno(file), STDOUT_FILENO);
        action();
        ::dup2(saved, STDOUT_FILENO);
        ::close(saved);
        std::string text(4096, '\0');
        std::rewind(file);
        text.resize(std::fread(text.data(), 1, text.size(), file));
        std::fclose(file);
        return text;
    }

    TEST_CASE("the log: sink writes one line of JSON for each message, whatever its payload")
    {
        Outcomes outcomes;
        infra::LogSink sink;
        domain::OutboxMessage quoted = message_of(3, "{\"a\":\n \"b\\n\"}");
        quoted.topic = "event.\"x\"";
        const std::string text = standard_output_of([&] {
            sink.send(quoted, outcomes.next());
            sink.send(message_of(4, ""), outcomes.next());
        });
        const auto id = [](unsigned ordinal) { return domain::to_string(message_of(ordinal).event_id); };
        CHECK(text == R"({"topic":"event.\"x\"","event_id":")" + id(3) + R"(","payload":{"a":  "b\n"}})" +
                          "\n" + R"({"topic":"event.bus","event_id":")" + id(4) + R"(","payload":null})" +
                          "\n");
        for (const DeliveryOutcome& outcome : outcomes.wait(2)) CHECK(outcome.verdict == Verdict::delivered);
    }

    TEST_CASE("the sink of the configuration")
    {
        LoopbackServer server([](const Request&) { return reply(410); });
        infra::OutboxConfig config;
        config.send_timeout = std::chrono::seconds{20};
        config.in_flight_max = 1;
        const auto verdict_of = [&](infra::SinkKind kind, const std::string& url) {
            config.sink = {.kind = kind, .url = url};
            Outcomes outcomes;
            const auto sink = infra::make_sink(config);
            sink->send(message_of(), outcomes.next());
            const Verdict verdict = outcomes.wait(1).front().verdict;
            sink->stop();
            return verdict;
        };
        CHECK(verdict_of(infra::SinkKind::null, "null:") == Verdict::delivered);
        Verdict logged = Verdict::retry;
        standard_output_of([&] { logged = verdict_of(infra::SinkKind::log, "log:"); });
        CHECK(logged == Verdict::delivered);
        CHECK(verdict_of(infra::SinkKind::http, server.url()) == Verdict::gone);
    }
}
