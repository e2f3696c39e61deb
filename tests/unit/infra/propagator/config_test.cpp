#include "unit/infra/config_support.hpp"

#include <doctest/doctest.h>

using namespace std::chrono_literals;
using config_support::Binary;
using config_support::contains;
using config_support::joined;
using config_support::Workspace;

TEST_SUITE("infra/config/propagator")
{
    TEST_CASE("without streams in the file there is one, named default")
    {
        const Workspace space;
        const auto loaded = space.load_complete(Binary::propagator, {});
        REQUIRE_MESSAGE(loaded.faults.empty(), joined(loaded.faults));
        REQUIRE(loaded.config.propagator.streams.size() == 1);
        const auto& [name, stream] = *loaded.config.propagator.streams.begin();
        CHECK(name == "default");
        CHECK(stream.period == 2s);
        CHECK(stream.target == "http://consumer:8000/event");
        CHECK(loaded.config.propagator.send.tries_max == 3);
        CHECK(loaded.config.propagator.send.waits == domain::propagation::Waits::fixed);
        CHECK(loaded.config.propagator.metrics_window == 100);
    }

    TEST_CASE("streams of the file take what they do not say from the variables")
    {
        const Workspace space;
        space.write("p.yaml",
                    "propagator:\n  streams:\n    fast: {period_seconds: 0.25}\n"
                    "    slow: {period_seconds: 60, payload_file: slow.json, post_endpoint: 'kafka:city'}\n");
        const auto loaded = space.load_complete(
            Binary::propagator, {{"CONFIG_PATH", "p.yaml"}, {"KAFKA_BOOTSTRAP_SERVERS", "k:9092"}});
        REQUIRE_MESSAGE(loaded.faults.empty(), joined(loaded.faults));
        const auto& streams = loaded.config.propagator.streams;
        CHECK(streams.at("fast").period == 250ms);
        CHECK(streams.at("fast").payload_file == "payloads.json");
        CHECK(streams.at("slow").target == "kafka:city");
    }

    TEST_CASE("a file that says everything about its streams needs no variable; one that does not is told")
    {
        const Workspace space;
        space.write("p.yaml", "propagator: {streams: {a: {period_seconds: 1, payload_file: f}}}\n");
        const auto loaded = space.load(Binary::propagator, {{"CONFIG_PATH", "p.yaml"}});
        REQUIRE(loaded.faults.size() == 1);
        CHECK(contains(loaded.faults[0], "propagator.streams.a.post_endpoint: is required but not set"));
        space.write("q.yaml",
                    "propagator: {streams: {a: {period_seconds: 1, payload_file: f, post_endpoint: "
                    "'http://h'}, 'b c': {period_seconds: 1}}}\n");
        const auto named = space.load(Binary::propagator, {{"CONFIG_PATH", "q.yaml"}});
        REQUIRE(named.faults.size() == 1);
        CHECK(contains(named.faults[0], "is not a stream name"));
    }

    TEST_CASE("the original's messages")
    {
        const Workspace space;
        for (const auto* bad : {"2.5", "0", "-5", "abc"}) {
            const auto loaded = space.load_complete(Binary::propagator, {{"PERIOD_IN_SECONDS", bad}});
            REQUIRE(loaded.faults.size() == 1);
            CHECK(contains(loaded.faults[0],
                           std::string("PERIOD_IN_SECONDS must be a positive integer (got: ") + bad + ")"));
        }
        const auto missing = space.load(Binary::propagator, {});
        REQUIRE(missing.faults.size() == 3);
        for (const auto* name : {"PERIOD_IN_SECONDS", "HTTP_POST_ENDPOINT", "PAYLOAD_FILE_PATH"})
            CHECK(contains(joined(missing.faults),
                           std::string("Missing required environment variable: ") + name));
    }

    TEST_CASE("a load run needs no period and has one stream")
    {
        const Workspace space;
        const auto loaded = space.load(
            Binary::propagator,
            {{"LOAD_RATE", "20000"}, {"HTTP_POST_ENDPOINT", "http://h"}, {"PAYLOAD_FILE_PATH", "f"}});
        REQUIRE_MESSAGE(loaded.faults.empty(), joined(loaded.faults));
        CHECK(loaded.config.propagator.load.duration == 10s);
        space.write("p.yaml", "propagator: {streams: {a: {}, b: {}}}\n");
        space.write("q.yaml", "propagator: {streams: {a: {period_seconds: 1}, b: {period_seconds: 2}}}\n");
        const auto two =
            space.load_complete(Binary::propagator, {{"LOAD_RATE", "5"}, {"CONFIG_PATH", "q.yaml"}});
        REQUIRE(two.faults.size() == 1);
        CHECK(contains(two.faults[0], "a load run has one stream"));
        for (const auto* bad : {"0", "-1", "1000001", "fast", "inf"})
            CHECK(space.load_complete(Binary::propagator, {{"LOAD_RATE", bad}}).faults.size() == 1);
    }

    TEST_CASE("rules between options")
    {
        const Workspace space;
        CHECK(contains(
            joined(space.load_complete(Binary::propagator, {{"HTTP_POST_ENDPOINT", "kafka:t"}}).faults),
            "KAFKA_BOOTSTRAP_SERVERS: is required for a target kafka:TOPIC"));
        CHECK(contains(
            joined(space.load_complete(Binary::propagator, {{"HTTP_POST_ENDPOINT", "kafka:a b"}}).faults),
            "the topic must be"));
        CHECK(contains(
            joined(space.load_complete(Binary::propagator, {{"SEND_RETRY_BASE_SECONDS", "60"}}).faults),
            "SEND_RETRY_MAX_SECONDS: must not be below"));
        CHECK(contains(joined(space.load_complete(Binary::propagator, {{"LOAD_REPORT", "r.txt"}}).faults),
                       "must end in .json or .csv"));
    }
}
