#include "unit/app/stream_fakes.hpp"

#include <doctest/doctest.h>

#include <algorithm>

namespace {

using app::AppendRefusal;
using app::AppendResult;

const domain::PartitionId first{"t", 0};
const domain::PartitionId second{"t", 1};

std::vector<std::string> numbered(int from, int to)
{
    std::vector<std::string> values;
    for (int n = from; n < to; ++n) values.push_back("{\"n\":" + std::to_string(n) + "}");
    return values;
}

std::vector<std::string> sorted(std::vector<std::string> values)
{
    std::sort(values.begin(), values.end());
    return values;
}

struct Setup {
    domain::ServiceRegistry registry;
    app::PrepareEvent prepare{registry, {}};
    fakes::ScriptedRecords records;
    domain::RouteTable routes{{{"t", {domain::RouteBy::service, "city"}}}, {}};
    app::DecodeMessage decode{prepare, records, routes, 1000};
    fakes::ScriptedSource source;
    fakes::MemoryLog log;
    fakes::CountingObserver observer;
    app::ConsumeOptions options;

    Setup()
    {
        options.group = "g";
        options.batch_rows_max = 10;
        options.backoff_min = std::chrono::milliseconds(2);
        options.backoff_max = std::chrono::milliseconds(4);
    }

    // Until everything that was sent is stored.
    void run()
    {
        app::ConsumeStream consumer(source, log, &log, decode, observer, options, [] { return 0.5; });
        const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(30);
        source.idle = [&] {
            std::size_t ends = 0;
            for (const auto& [id, values] : source.log) ends += values.size();
            std::size_t stored = 0;
            for (const auto& [id, offset] : log.positions) stored += static_cast<std::size_t>(offset);
            if (stored >= ends || std::chrono::steady_clock::now() > give_up) consumer.stop();
        };
        consumer.run();
    }
};

}  // namespace

TEST_SUITE("app/consume_stream")
{
    TEST_CASE("everything is stored once, in batches, with the positions")
    {
        Setup setup;
        setup.source.log = {{first, numbered(0, 25)}, {second, numbered(25, 50)}};
        setup.run();
        CHECK(sorted(setup.log.payloads) == sorted(numbered(0, 50)));
        CHECK(setup.log.positions == app::Positions{{first, 25}, {second, 25}});
        CHECK(setup.source.told == setup.log.positions);
        CHECK(*std::max_element(setup.log.batches.begin(), setup.log.batches.end()) <= 10);
        CHECK(setup.observer.stored_count == 50);
        CHECK(setup.source.closed);
    }

    TEST_CASE("it starts from the stored position")
    {
        Setup setup;
        setup.source.log = {{first, numbered(0, 10)}};
        setup.log.positions = {{first, 7}};
        setup.run();
        CHECK(setup.log.payloads == numbered(7, 10));
    }

    TEST_CASE("a refused batch is tried again until it is stored")
    {
        const auto why = {AppendRefusal::unavailable, AppendRefusal::queue_full,
                          AppendRefusal::outcome_unknown};
        for (const auto refusal : why) {
            CAPTURE(static_cast<int>(refusal));
            Setup setup;
            setup.source.log = {{first, numbered(0, 20)}};
            int left = 3;
            setup.log.fault = [&left, refusal](auto&, const auto&) -> std::optional<AppendResult> {
                if (left-- > 0) return AppendResult{refusal, {}};
                return std::nullopt;
            };
            setup.run();
            CHECK(setup.log.payloads == numbered(0, 20));
            CHECK(setup.observer.troubles == 3);
        }
    }

    TEST_CASE("a batch that was committed although its outcome was unknown is not stored again")
    {
        Setup setup;
        setup.source.log = {{first, numbered(0, 20)}};
        int left = 1;
        setup.log.fault = [&left](fakes::MemoryLog& log, const auto& batch) -> std::optional<AppendResult> {
            if (left-- <= 0) return std::nullopt;
            log.store(batch);
            return AppendResult{AppendRefusal::outcome_unknown, {}};
        };
        setup.run();
        CHECK(setup.log.payloads == numbered(0, 20));
        CHECK(setup.source.seeks == 0);
    }

    TEST_CASE("a position that another consumer moved is where reading goes on")
    {
        Setup setup;
        setup.source.log = {{first, numbered(0, 20)}};
        int left = 1;
        setup.log.fault = [&left](fakes::MemoryLog& log, const auto&) -> std::optional<AppendResult> {
            if (left-- > 0) log.positions[first] = 15;
            return std::nullopt;
        };
        setup.run();
        CHECK(setup.log.payloads == numbered(15, 20));
        CHECK(setup.source.seeks == 1);
    }

    TEST_CASE("an event that the database refuses goes to quarantine with its message")
    {
        Setup setup;
        setup.source.log = {{first, numbered(0, 5)}};
        setup.log.fault = [](auto&, const app::StreamBatch& batch) -> std::optional<AppendResult> {
            AppendResult result{AppendRefusal::poison,
                                app::AppendedEvents(batch.events.size(), domain::IngestAnswer{})};
            bool any = false;
            for (std::size_t i = 0; i < batch.events.size(); ++i) {
                if (batch.events[i].payload != "{\"n\":3}") continue;
                result.events[i].reset();
                any = true;
            }
            return any ? std::optional(result) : std::nullopt;
        };
        setup.run();
        CHECK(setup.log.payloads ==
              std::vector<std::string>{"{\"n\":0}", "{\"n\":1}", "{\"n\":2}", "{\"n\":4}"});
        REQUIRE(setup.log.kept.size() == 1);
        CHECK(setup.log.kept[0].reason == domain::RejectReason::refused_by_database);
        CHECK(setup.log.kept[0].message.offset == 3);
        CHECK(setup.log.kept[0].message.value == "{\"n\":3}");
    }

    TEST_CASE("what is no event goes to quarantine and its neighbours are stored")
    {
        Setup setup;
        setup.source.log = {{first, {"{\"n\":0}", "{", "", "[1]", "{\"n\":4}"}}};
        setup.run();
        CHECK(setup.log.payloads == std::vector<std::string>{"{\"n\":0}", "{\"n\":4}"});
        CHECK(setup.observer.quarantined_count == 3);
        CHECK(setup.log.positions == app::Positions{{first, 5}});
    }

    TEST_CASE("a registry that is down holds its partition only, and skips nothing")
    {
        Setup setup;
        setup.source.log = {{first, {std::string("\0{\"n\":0}", 8), "{\"n\":1}"}}, {second, numbered(2, 9)}};
        setup.records.unavailable = 3;
        setup.run();
        CHECK(sorted(setup.log.payloads) == sorted(numbered(0, 9)));
        const auto zero = std::find(setup.log.payloads.begin(), setup.log.payloads.end(), "{\"n\":0}");
        const auto one = std::find(setup.log.payloads.begin(), setup.log.payloads.end(), "{\"n\":1}");
        CHECK(zero < one);
        CHECK(setup.observer.troubles == 3);
    }

    TEST_CASE("positions that cannot be read are asked for until they can")
    {
        Setup setup;
        setup.source.log = {{first, numbered(0, 3)}};
        setup.log.failing_reads = 4;
        setup.run();
        CHECK(setup.log.payloads == numbered(0, 3));
    }

    TEST_CASE("what waits is bounded")
    {
        Setup setup;
        setup.options.waiting_messages_max = 20;
        setup.source.log = {{first, numbered(0, 500)}, {second, numbered(500, 1000)}};
        int left = 50;
        setup.log.fault = [&](auto&, const auto&) -> std::optional<AppendResult> {
            if (left-- > 0) return AppendResult{AppendRefusal::unavailable, {}};
            return std::nullopt;
        };
        setup.run();
        CHECK(setup.source.pauses > 0);
        CHECK(sorted(setup.log.payloads) == sorted(numbered(0, 1000)));
    }
}
