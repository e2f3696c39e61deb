#include "unit/app/outbox_fakes.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <future>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

// What happens to lanes: lost, given back, handed over by a stop, found again after a fault.
TEST_SUITE("app/deliver_outbox: leases")
{
    using domain::DeliveryOutcome;
    using domain::OutboxMessage;
    using domain::Verdict;
    using outbox_fakes::InMemoryOutbox;
    using outbox_fakes::ScriptedSink;
    using outbox_fakes::Worker;
    using namespace std::chrono_literals;
    using Seqs = std::vector<std::int64_t>;
    using Lanes = std::vector<std::int16_t>;

    namespace {

    const DeliveryOutcome delivered{Verdict::delivered};

    app::DeliveryOptions options_with(std::chrono::milliseconds drain_timeout, bool until_empty = false)
    {
        app::DeliveryOptions options;
        options.retry = {3, 0ms, 0ms};
        options.poll_interval = 1h;
        options.drain_timeout = drain_timeout;
        options.until_empty = until_empty;
        return options;
    }

    // Waits for something that another thread does; 10 s is for machines that are very busy.
    template <class Condition>
    bool eventually(Condition condition)
    {
        const auto deadline = std::chrono::steady_clock::now() + 10s;
        while (!condition() && std::chrono::steady_clock::now() < deadline) std::this_thread::sleep_for(1ms);
        return condition();
    }

    }  // namespace

    TEST_CASE("what is written under a lost lease is refused, and nothing more of that lane is sent")
    {
        InMemoryOutbox store;
        for (std::int64_t seq = 1; seq <= 6; ++seq) store.append(0, seq, seq);
        ScriptedSink sink([&store](const OutboxMessage& message) {
            if (message.seq == 2) store.steal(0);
            return std::optional(delivered);
        });
        std::atomic<int> refusals = 0;
        store.before_call = [&refusals](const std::string& call) { refusals += call == "settle" ? 1 : 0; };
        auto options = options_with(0ms);
        options.limits.window_rows_max = 2;
        Worker worker(store, sink, options);
        auto running = std::async(std::launch::async, [&worker] { worker.delivery.run(); });
        CHECK(eventually([&refusals] { return refusals == 1; }));
        std::this_thread::sleep_for(30ms);
        worker.delivery.stop();
        running.get();
        CHECK(refusals == 1);
        CHECK(sink.sent() == Seqs{1, 2});
        CHECK(store.lane(0).acked == 0);
        CHECK(store.times_left() == 1);
    }

    TEST_CASE("an outcome from an earlier lease settles nothing in a later one")
    {
        InMemoryOutbox store;
        store.append(0, 1, 'a');
        store.append(0, 2, 'a');
        int sends_of_first = 0;
        ScriptedSink sink([&](const OutboxMessage& message) -> std::optional<DeliveryOutcome> {
            if (message.seq == 2) return delivered;
            // The try under the earlier lease ends while the next one is on its way.
            if (++sends_of_first == 2) sink.complete(delivered);
            return std::nullopt;
        });
        // The store fails once while 1 is in flight: the lane comes back under a new epoch.
        bool failed = false;
        int reads_since = 0;
        store.before_call = [&](const std::string& call) {
            if (call != "read" || sink.held() == 0) return;
            if (!std::exchange(failed, true)) throw std::runtime_error("connection lost");
            if (sends_of_first == 2 && ++reads_since == 5) sink.complete({Verdict::rejected, "HTTP 400"});
        };
        auto options = options_with(10s, true);
        options.poll_interval = 1ms;
        Worker worker(store, sink, options);
        worker.delivery.run();
        CHECK(worker.faults == std::vector<std::string>{"connection lost"});
        CHECK(sink.sent() == Seqs{1, 1, 2});
        CHECK(store.released() == Lanes{0});
        CHECK(store.lane(0).epoch == 2);
        CHECK(store.lane(0).dead.size() == 1);
        CHECK(store.lane(0).acked == 2);
    }

    TEST_CASE("after a failed write the messages are sent again and nothing is lost")
    {
        InMemoryOutbox store;
        store.append(0, 1, 'a');
        store.append(0, 2, 'b');
        ScriptedSink sink([](const OutboxMessage&) { return std::optional(delivered); });
        int failures = 1;
        store.before_call = [&failures](const std::string& call) {
            if (call == "settle" && failures-- > 0) throw std::runtime_error("database away");
        };
        Worker worker(store, sink, options_with(10s, true));
        worker.delivery.run();
        CHECK(worker.faults == std::vector<std::string>{"database away"});
        CHECK(sink.sent() == Seqs{1, 2, 1, 2});
        CHECK(store.lane(0).acked == 2);
        CHECK(store.attempts_charged() == 0);
    }

    TEST_CASE("a lane beyond the fair share is given back, with what is stored about it")
    {
        InMemoryOutbox store;
        store.append(0, 1, 'a');
        store.append(1, 2, 'b');
        ScriptedSink sink([](const OutboxMessage&) { return std::optional(delivered); });
        // A lane that only the database knows as ours makes the worker renew again at once.
        store.kept_in_error = {5};
        store.surplus = {1};
        Worker worker(store, sink, options_with(10s));
        store.before_call = [&](const std::string& call) {
            if (call == "release" && store.released() == Lanes{5}) worker.delivery.stop();
        };
        worker.delivery.run();
        CHECK(store.released() == Lanes{5, 1});
        CHECK(store.lane(1).acked == 2);
    }

    TEST_CASE("a stop waits for what is in flight")
    {
        InMemoryOutbox store;
        for (std::int64_t seq = 1; seq <= 3; ++seq) store.append(0, seq, seq);
        ScriptedSink sink([](const OutboxMessage&) { return std::optional<DeliveryOutcome>(); });
        Worker worker(store, sink, options_with(10s));
        auto running = std::async(std::launch::async, [&worker] { worker.delivery.run(); });
        REQUIRE(eventually([&sink] { return sink.held() == 3; }));
        CHECK(worker.delivery.healthy());
        worker.delivery.stop();
        REQUIRE(eventually([&worker] { return !worker.delivery.healthy(); }));
        CHECK(running.wait_for(20ms) == std::future_status::timeout);
        CHECK(store.times_left() == 0);
        sink.complete(delivered);
        running.get();
        CHECK(worker.outcomes == std::map<Verdict, int>{{Verdict::delivered, 3}});
        CHECK(store.lane(0).acked == 3);
        CHECK(store.times_left() == 1);
    }

    TEST_CASE("what does not end in time is abandoned, charged to nobody, and delivered by the next worker")
    {
        InMemoryOutbox store;
        store.append(0, 1, 'a');
        store.append(0, 2, 'b');
        store.append(0, 3, 'a');
        Worker* running = nullptr;
        ScriptedSink stuck([&](const OutboxMessage& message) -> std::optional<DeliveryOutcome> {
            if (message.seq == 2) running->delivery.stop();
            return message.seq == 1 ? std::nullopt : std::optional(delivered);
        });
        Worker first(store, stuck, options_with(20ms));
        running = &first;
        first.delivery.run();
        CHECK(stuck.sent() == Seqs{1, 2});
        CHECK(first.outcomes == std::map<Verdict, int>{{Verdict::delivered, 1}, {Verdict::abandoned, 1}});
        CHECK(store.attempts_charged() == 0);
        CHECK(store.lane(0).dead.empty());
        CHECK_FALSE(store.lane(0).ours);
        CHECK(store.times_left() == 1);

        // 2 was delivered and is not repeated, although it came after 1.
        ScriptedSink sink([](const OutboxMessage&) { return std::optional(delivered); });
        Worker second(store, sink, options_with(10s, true));
        second.delivery.run();
        CHECK(sink.sent() == Seqs{1, 3});
        CHECK(store.lane(0).acked == 3);
        CHECK(store.lane(0).shelf.empty());
    }

    TEST_CASE("a new message does not wait for the poll when the worker is woken")
    {
        InMemoryOutbox store;
        store.append(0, 1, 'a');
        ScriptedSink sink([](const OutboxMessage&) { return std::optional(delivered); });
        Worker worker(store, sink, options_with(10s));
        auto running = std::async(std::launch::async, [&worker] { worker.delivery.run(); });
        REQUIRE(eventually([&store] { return store.lane(0).acked == 1; }));
        std::this_thread::sleep_for(60ms);  // longer than the quick polls after activity
        store.append(0, 2, 'a');
        worker.delivery.wake();
        CHECK(eventually([&store] { return store.lane(0).acked == 2; }));
        worker.delivery.stop();
        running.get();
        CHECK(sink.sent() == Seqs{1, 2});
    }
}
