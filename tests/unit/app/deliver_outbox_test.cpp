#include "unit/app/outbox_fakes.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <future>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

TEST_SUITE("app/deliver_outbox")
{
    using domain::DeliveryOutcome;
    using domain::OutboxMessage;
    using domain::Verdict;
    using outbox_fakes::InMemoryOutbox;
    using outbox_fakes::ScriptedSink;
    using outbox_fakes::Worker;
    using namespace std::chrono_literals;
    using Seqs = std::vector<std::int64_t>;

    namespace {

    const DeliveryOutcome delivered{Verdict::delivered};
    const DeliveryOutcome fault{Verdict::retry, "timeout"};

    // Retries are due at once, so that no test waits for a backoff.
    app::DeliveryOptions drain_options()
    {
        app::DeliveryOptions options;
        options.retry = {3, 0ms, 0ms};
        options.poll_interval = 1h;
        options.until_empty = true;
        return options;
    }

    std::optional<DeliveryOutcome> take_all(const OutboxMessage&) { return delivered; }

    }  // namespace

    TEST_CASE("a drain delivers everything in order, moves the cursors and leaves")
    {
        InMemoryOutbox store;
        const std::int16_t lanes[] = {0, 7, 15};
        for (const std::int16_t lane : lanes) {
            for (std::int64_t seq = 1; seq <= 40; ++seq)
                store.append(lane, std::int64_t{100} * lane + seq, seq % 4);
        }
        ScriptedSink sink(take_all);
        Worker worker(store, sink, drain_options());
        worker.delivery.run();

        CHECK(sink.sent().size() == 120);
        for (const std::int16_t lane : lanes) {
            CAPTURE(lane);
            Seqs of_lane;
            for (const auto seq : sink.sent()) {
                if (seq / 100 == lane) of_lane.push_back(seq);
            }
            CHECK(of_lane.size() == 40);
            CHECK(std::is_sorted(of_lane.begin(), of_lane.end()));
            CHECK(store.lane(lane).acked == 100 * lane + 40);
            CHECK(store.lane(lane).shelf.empty());
            CHECK_FALSE(store.lane(lane).ours);
        }
        CHECK(store.times_left() == 1);
        CHECK(worker.outcomes == std::map<Verdict, int>{{Verdict::delivered, 120}});
        CHECK(worker.faults.empty());
        CHECK_FALSE(worker.delivery.healthy());
    }

    TEST_CASE("a drain of an empty outbox ends")
    {
        InMemoryOutbox store;
        store.append(0, 1, 1);
        ScriptedSink sink(take_all);
        Worker(store, sink, drain_options()).delivery.run();
        Worker(store, sink, drain_options()).delivery.run();
        CHECK(sink.sent() == Seqs{1});
        CHECK(store.times_left() == 2);
    }

    TEST_CASE("a drain does not end while a lane whose window was full has more to read")
    {
        InMemoryOutbox store;
        for (std::int64_t seq = 1; seq <= 20; ++seq) store.append(0, seq, seq);
        store.append(1, 100, 100);
        ScriptedSink sink([](const OutboxMessage&) { return std::optional<DeliveryOutcome>(); });
        // The messages in flight end just after a look at the other lane, which has nothing more.
        store.before_call = [&sink](const std::string& call) {
            if (call == "read") sink.complete(delivered);
        };
        auto options = drain_options();
        options.limits.window_rows_max = 4;
        Worker worker(store, sink, options);
        worker.delivery.run();
        CHECK(store.lane(0).acked == 20);
        CHECK(sink.sent().size() == 21);
    }

    TEST_CASE("a drain does not end when a full window empties just after the look at the others")
    {
        InMemoryOutbox store;
        for (std::int64_t seq = 1; seq <= 20; ++seq) store.append(0, seq, seq);
        store.append(1, 100, 100);
        bool quick = false;
        ScriptedSink sink([&quick](const OutboxMessage&) {
            return quick ? std::optional(delivered) : std::optional<DeliveryOutcome>();
        });
        store.before_call = [&](const std::string& call) {
            if (call != "read" || sink.held() == 0) return;
            quick = true;
            sink.complete(delivered);
        };
        auto options = drain_options();
        options.limits.window_rows_max = 4;
        options.in_flight_max = 1;
        Worker(store, sink, options).delivery.run();
        CHECK(store.lane(0).acked == 20);
        CHECK(sink.sent().size() == 21);
    }

    TEST_CASE("a message that fails is tried again before later ones of its key, and no others wait")
    {
        InMemoryOutbox store;
        store.append(0, 1, 'a');
        store.append(0, 2, 'a');
        store.append(0, 3, 'b');
        int failures = 2;
        ScriptedSink sink([&failures](const OutboxMessage& message) -> std::optional<DeliveryOutcome> {
            return message.seq == 1 && failures-- > 0 ? fault : delivered;
        });
        Worker worker(store, sink, drain_options());
        worker.delivery.run();
        CHECK(sink.sent() == Seqs{1, 3, 1, 1, 2});
        CHECK(store.lane(0).acked == 3);
        CHECK(store.lane(0).shelf.empty());
        CHECK(store.lane(0).dead.empty());
        CHECK(store.attempts_charged() == 2);
        CHECK(worker.outcomes == std::map<Verdict, int>{{Verdict::delivered, 3}, {Verdict::retry, 2}});
    }

    TEST_CASE("after its last attempt a message is a dead letter, and its key goes on")
    {
        InMemoryOutbox store;
        store.append(0, 1, 'a');
        store.append(0, 2, 'a');
        ScriptedSink sink([](const OutboxMessage& message) -> std::optional<DeliveryOutcome> {
            return message.seq == 1 ? fault : delivered;
        });
        Worker(store, sink, drain_options()).delivery.run();
        CHECK(sink.sent() == Seqs{1, 1, 1, 2});
        REQUIRE(store.lane(0).dead.size() == 1);
        CHECK(store.lane(0).dead.at(1).attempts == 3);
        CHECK(store.lane(0).dead.at(1).last_error == "timeout");
        CHECK(store.lane(0).shelf.empty());
        CHECK(store.lane(0).acked == 2);
    }

    TEST_CASE("a drain does not wait for retries that are not due")
    {
        InMemoryOutbox store;
        store.append(0, 1, 'a');
        store.append(0, 2, 'b');
        ScriptedSink sink([](const OutboxMessage& message) -> std::optional<DeliveryOutcome> {
            return message.seq == 1 ? fault : delivered;
        });
        auto options = drain_options();
        options.retry = {3, 1h, 1h};
        Worker(store, sink, options).delivery.run();
        CHECK(sink.sent() == Seqs{1, 2});
        REQUIRE(store.lane(0).shelf.size() == 1);
        CHECK(store.lane(0).shelf.at(1).attempts == 1);
        CHECK(store.lane(0).acked == 2);
    }

    TEST_CASE("Retry-After holds the whole destination")
    {
        InMemoryOutbox store;
        for (std::int64_t seq = 1; seq <= 5; ++seq) store.append(0, seq, seq);
        ScriptedSink sink([](const OutboxMessage&) -> std::optional<DeliveryOutcome> {
            return DeliveryOutcome{.verdict = Verdict::retry, .error = "HTTP 429", .retry_after = 3600s};
        });
        auto options = drain_options();
        options.in_flight_max = 1;
        Worker(store, sink, options).delivery.run();  // what is held is not due
        CHECK(sink.sent() == Seqs{1});
        CHECK(store.attempts_charged() == 1);
    }

    TEST_CASE("a drain waits for lanes of others only so long, and says so")
    {
        InMemoryOutbox store;
        store.append(0, 1, 'a');
        store.append(1, 2, 'b');
        store.steal(1);
        ScriptedSink sink(take_all);
        auto options = drain_options();
        options.lanes_timeout = 50ms;
        Worker some(store, sink, options);
        some.delivery.run();
        CHECK(sink.sent() == Seqs{1});
        CHECK_FALSE(some.delivery.complete());
        CHECK(some.faults ==
              std::vector<std::string>{"1 lanes belong to another worker: they were not drained"});
        store.steal(0);
        Worker none(store, sink, options);
        none.delivery.run();
        CHECK_FALSE(none.delivery.complete());
        CHECK(sink.sent() == Seqs{1});
    }

    TEST_CASE("a message of the shelf that is no longer stored is told of and does not come again")
    {
        InMemoryOutbox store;
        store.append(0, 1, 'a');
        store.append(0, 2, 'b');
        store.put_on_shelf(0, {.seq = 9, .key_hash = 'c', .attempts = 1});
        ScriptedSink sink(take_all);
        Worker worker(store, sink, drain_options());
        worker.delivery.run();
        CHECK(sink.sent() == Seqs{1, 2});
        CHECK(worker.faults == std::vector<std::string>{"1 messages of the shelf are no longer stored"});
        CHECK(worker.outcomes[Verdict::rejected] == 1);
        CHECK(store.lane(0).shelf.empty());
    }

    TEST_CASE("a destination that is gone switches the subscription off and keeps the rest")
    {
        InMemoryOutbox store;
        store.append(0, 1, 'a');
        store.append(0, 2, 'b');
        ScriptedSink sink([](const OutboxMessage&) -> std::optional<DeliveryOutcome> {
            return DeliveryOutcome{Verdict::gone, "HTTP 410"};
        });
        auto options = drain_options();
        options.in_flight_max = 1;
        options.limits.window_rows_max = 1;
        Worker(store, sink, options).delivery.run();
        CHECK(sink.sent() == Seqs{1});
        CHECK(store.disabled());
        CHECK(store.lane(0).dead.size() == 1);
        CHECK(store.lane(0).acked == 1);
        CHECK(store.times_left() == 1);
    }

    TEST_CASE("a subscription that is switched off sends nothing")
    {
        InMemoryOutbox store;
        store.append(0, 1, 'a');
        store.disable();
        ScriptedSink sink(take_all);
        Worker(store, sink, drain_options()).delivery.run();
        CHECK(sink.sent().empty());
        CHECK(store.lane(0).acked == 0);
    }

    TEST_CASE("no more messages are in flight than allowed, over all lanes")
    {
        InMemoryOutbox store;
        for (std::int64_t seq = 1; seq <= 30; ++seq)
            store.append(static_cast<std::int16_t>(seq % 3), seq, seq);
        ScriptedSink sink([](const OutboxMessage&) { return std::optional<DeliveryOutcome>(); });
        auto options = drain_options();
        options.in_flight_max = 5;
        options.limits.window_rows_max = 4;
        std::atomic<bool> ended = false;
        auto destination = std::async(std::launch::async, [&] {
            for (; !ended; std::this_thread::sleep_for(2ms)) sink.complete(delivered);
        });
        Worker(store, sink, options).delivery.run();
        ended = true;
        destination.get();
        CHECK(sink.sent().size() == 30);
        CHECK(sink.held_max() == 5);
    }
}
