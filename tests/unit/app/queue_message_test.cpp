#include "app/queue_message.hpp"

#include "unit/app/stream_fakes.hpp"

#include <doctest/doctest.h>

namespace {

app::QueueDelivery delivery(std::uint64_t tag, std::string body, std::string id = {})
{
    return {tag, std::move(body), std::move(id)};
}

// A queue's consumer on fakes: the source keeps the positions.
struct Setup {
    domain::ServiceRegistry registry;
    app::PrepareEvent prepare{registry, {}};
    fakes::ScriptedRecords records;
    app::DecodeMessage decode{prepare, records,
                              domain::RouteTable{{{"q", {domain::RouteBy::service, "city"}}}, {}}, 1000};
    fakes::ScriptedSource source;
    fakes::MemoryLog log;
    fakes::CountingObserver observer;
    app::ConsumeOptions options;

    void run()
    {
        options.commit_interval = std::chrono::milliseconds(0);
        app::ConsumeStream consumer(source, log, nullptr, decode, observer, options, [] { return 0.5; });
        source.idle = [&] {
            const auto told = source.told.find({"q", 0});
            const auto end = static_cast<std::int64_t>(source.log.at({"q", 0}).size());
            if (told != source.told.end() && told->second == end) consumer.stop();
        };
        consumer.run();
    }
};

}  // namespace

TEST_SUITE("app/queue_message")
{
    TEST_CASE("a delivery is a message of a topic with one partition")
    {
        auto given = delivery(7, "{}", "id-1");
        given.content_type = "application/json";
        given.headers = {{"traceparent", "t"}, {"cloudEvents_id", "e"}, {"cloudEvents:type", "x"}};
        const auto message = app::to_stream_message("q", std::move(given));
        CHECK(message.partition == domain::PartitionId{"q", 0});
        CHECK(message.offset == 7);
        CHECK(message.value == "{}");
        CHECK(message.header("traceparent") == "t");
        CHECK(message.header("ce_id") == "e");
        CHECK(message.header("ce_type") == "x");
        CHECK(message.header("message-id") == "id-1");
        CHECK(message.header("content-type") == "application/json");
    }

    TEST_CASE("what is no attribute of a CloudEvent keeps its name")
    {
        auto given = delivery(1, "{}", "id");
        given.headers = {{"cloudEvents", "a"}, {"cloudEventsX", "b"}};
        const auto message = app::to_stream_message("q", std::move(given));
        CHECK(message.header("cloudEvents") == "a");
        CHECK(message.header("cloudEventsX") == "b");
    }

    TEST_CASE("without an id a message is known by its queue and what it says")
    {
        const auto first = app::to_stream_message("q", delivery(1, "{}"));
        const auto again = app::to_stream_message("q", delivery(9, "{}"));
        const auto other = app::to_stream_message("q", delivery(2, "[]"));
        const auto elsewhere = app::to_stream_message("p", delivery(1, "{}"));
        CHECK(first.header("message-id").size() == 36);
        CHECK(first.header("message-id") == again.header("message-id"));
        CHECK(first.header("message-id") != other.header("message-id"));
        CHECK(first.header("message-id") != elsewhere.header("message-id"));
    }

    TEST_CASE("the number of a message outlives its tag")
    {
        const auto number = [](std::uint64_t tag, std::string body, std::string id) {
            return app::stable_offset(
                app::to_stream_message("q", delivery(tag, std::move(body), std::move(id))));
        };
        CHECK(number(1, "junk", "a") == number(2, "junk", "a"));
        CHECK(number(1, "junk", "a") != number(1, "junk", "b"));
        CHECK(number(1, "junk", "a") != number(1, "other", "a"));
        CHECK(number(1, "junk", "") >= 0);
    }
}

TEST_SUITE("app/consume_stream")
{
    TEST_CASE("where the broker keeps the positions, batches carry none and are told once stored")
    {
        Setup setup;
        setup.source.log = {{{"q", 0}, {R"({"n":1})", "junk", R"({"n":2})"}}};
        setup.run();
        CHECK(setup.log.payloads == std::vector<std::string>{R"({"n":1})", R"({"n":2})"});
        CHECK(setup.log.positions.empty());
        REQUIRE(setup.log.kept.size() == 1);
        CHECK(setup.log.kept[0].message.offset == app::stable_offset(setup.log.kept[0].message));
        CHECK(setup.source.told == app::Positions{{{"q", 0}, 3}});
        CHECK(setup.source.closed);
    }

    TEST_CASE("what the log refuses is not told before it is stored")
    {
        Setup setup;
        setup.source.log = {{{"q", 0}, {R"({"n":1})"}}};
        setup.options.backoff_min = std::chrono::milliseconds(2);
        setup.options.backoff_max = std::chrono::milliseconds(4);
        int refusals = 3;
        setup.log.fault = [&](auto&, const auto&) -> std::optional<app::AppendResult> {
            CHECK(setup.source.told.empty());
            if (refusals-- > 0) return app::AppendResult{app::AppendRefusal::outcome_unknown, {}};
            return std::nullopt;
        };
        setup.run();
        CHECK(setup.log.payloads.size() == 1);
        CHECK(setup.source.told == app::Positions{{{"q", 0}, 1}});
    }
}
