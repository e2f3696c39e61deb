#include "app/propagate.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using namespace domain::propagation;

namespace {

// Keeps every try until the test answers it.
class HeldTransport final : public app::EventTransport {
public:
    void send(const app::Attempt& attempt, Done done) override
    {
        attempts.push_back(attempt);
        waiting.emplace_back(attempt, std::move(done));
    }
    void abandon() override
    {
        auto given_up = std::exchange(waiting, {});
        for (const auto& [attempt, done] : given_up) done({.abandoned = true});
    }
    void answer(const TryResult& result)
    {
        const auto done = std::move(waiting.front().second);
        waiting.pop_front();
        done(result);
    }

    std::vector<app::Attempt> attempts;
    std::deque<std::pair<app::Attempt, Done>> waiting;
};

class RecordingObserver final : public app::PropagationObserver {
public:
    void ticked(std::size_t, const Tick& tick, Moment) override
    {
        ++ticks;
        skipped += tick.skipped;
    }
    void overflow(std::size_t) override { ++overflows; }
    void retrying(std::size_t, const TryResult&) override { ++retries; }
    void finished(const app::FinishedSend& send) override { ended.push_back(send); }

    std::uint64_t ticks = 0;
    std::uint64_t skipped = 0;
    std::uint64_t overflows = 0;
    std::uint64_t retries = 0;
    std::vector<app::FinishedSend> ended;
};

struct Bench {
    HeldTransport transport;
    RecordingObserver observer;
    Moment now{100s};
    Moment start = now;

    app::StreamPlan plan(Pace pace, std::size_t in_flight_max = 100)
    {
        return {
            TickSchedule(start, pace, MissedTicks::skip), source(), {}, in_flight_max, app::Overflow::drop};
    }

    static PayloadSource source()
    {
        return {{PayloadTemplate::verbatim("{}")}, PayloadOrder::sequence, [] { return std::uint64_t{0}; }};
    }

    app::Propagate make(std::vector<app::StreamPlan> plans)
    {
        return {transport,
                observer,
                {[this] { return now; }, [] { return domain::TimePoint{}; }},
                [generator = std::mt19937_64(1)]() mutable { return generator(); },
                std::move(plans)};
    }

    // As the event loop does, with a clock that jumps to where something is due.
    void run_until(app::Propagate& propagate, Moment end)
    {
        for (;;) {
            const Moment next = propagate.step();
            if (next > end) break;
            now = std::max(now, next);
        }
        now = end;
    }
};

}  // namespace

TEST_SUITE("app/propagate")
{
    TEST_CASE("a receiver that never answers changes no tick")
    {
        Bench bench;
        auto propagate = bench.make({bench.plan(Pace::every(1s))});
        bench.run_until(propagate, bench.start + 60s);
        CHECK(bench.observer.ticks == 61);
        CHECK(bench.observer.skipped == 0);
        CHECK(propagate.in_flight() == 61);
        CHECK(bench.observer.ended.empty());
    }

    TEST_CASE("each event has a key of its own, which its retries keep")
    {
        Bench bench;
        auto propagate = bench.make({bench.plan(Pace::every(10s))});
        bench.run_until(propagate, bench.start + 10s);
        bench.transport.answer({.status = 503});
        bench.run_until(propagate, bench.start + 10s + 199ms);
        CHECK(bench.transport.attempts.size() == 2);
        bench.run_until(propagate, bench.start + 10s + 200ms);
        REQUIRE(bench.transport.attempts.size() == 3);
        CHECK(bench.transport.attempts[2].idempotency_key == bench.transport.attempts[0].idempotency_key);
        CHECK(bench.transport.attempts[1].idempotency_key != bench.transport.attempts[0].idempotency_key);
        CHECK(bench.transport.attempts[0].idempotency_key.size() == 36);
    }

    TEST_CASE("three tries, then the failure is counted once")
    {
        Bench bench;
        auto propagate = bench.make({bench.plan(Pace::every(60s))});
        bench.run_until(propagate, bench.start + 1ms);
        bench.transport.answer({.error = "refused"});
        bench.run_until(propagate, bench.start + 300ms);
        bench.transport.answer({.error = "refused"});
        bench.run_until(propagate, bench.start + 900ms);
        bench.transport.answer({.error = "refused"});
        CHECK(bench.transport.attempts.size() == 3);
        REQUIRE(bench.observer.ended.size() == 1);
        CHECK(bench.observer.retries == 2);
        CHECK(bench.observer.ended[0].tries == 3);
        CHECK(bench.observer.ended[0].started == bench.start);
        CHECK(propagate.in_flight() == 0);
    }

    TEST_CASE("ticks that find no room are dropped and counted, and room is used again")
    {
        Bench bench;
        auto propagate = bench.make({bench.plan(Pace::every(1s), 3)});
        bench.run_until(propagate, bench.start + 9s);
        CHECK(bench.transport.attempts.size() == 3);
        CHECK(bench.observer.overflows == 7);
        bench.transport.answer({.status = 200});
        bench.run_until(propagate, bench.start + 10s);
        CHECK(bench.transport.attempts.size() == 4);
        CHECK(bench.observer.overflows == 7);
    }

    TEST_CASE("a load run waits for room and is charged the wait from the intended moment")
    {
        Bench bench;
        auto plan = bench.plan(Pace::every(1s), 2);
        plan.schedule = TickSchedule(bench.start, Pace::every(1s), MissedTicks::catch_up, 5);
        plan.overflow = app::Overflow::wait;
        auto propagate = bench.make({std::move(plan)});
        bench.run_until(propagate, bench.start + 20s);
        CHECK(bench.transport.attempts.size() == 2);
        while (!propagate.finished()) {
            bench.transport.answer({.status = 200});
            propagate.step();
        }
        CHECK(bench.observer.ended.size() == 5);
        CHECK(bench.observer.overflows == 0);
        CHECK(bench.observer.ended[4].ideal == bench.start + 4s);
        CHECK(bench.observer.ended[4].started == bench.start + 20s);
    }

    TEST_CASE("streams keep their own time and their own room")
    {
        Bench bench;
        auto propagate = bench.make({bench.plan(Pace::every(1s), 1), bench.plan(Pace::every(3s), 10)});
        bench.run_until(propagate, bench.start + 9s);
        const auto of_second = std::count_if(bench.transport.attempts.begin(), bench.transport.attempts.end(),
                                             [](const app::Attempt& a) { return a.stream == 1; });
        CHECK(of_second == 4);
        CHECK(bench.observer.overflows == 9);
    }

    TEST_CASE("after the stop nothing new begins, and what is in flight comes to its end with its retries")
    {
        Bench bench;
        auto propagate = bench.make({bench.plan(Pace::every(1s))});
        bench.run_until(propagate, bench.start);
        propagate.stop();
        bench.transport.answer({.status = 500});
        bench.run_until(propagate, bench.start + 5s);
        CHECK_FALSE(propagate.finished());
        CHECK(bench.transport.attempts.size() == 2);
        bench.transport.answer({.status = 200});
        CHECK(propagate.finished());
        CHECK(bench.observer.ticks == 1);
        CHECK(propagate.step() == Moment::max());
    }

    TEST_CASE("abandoning ends what is under way and what waits for another try")
    {
        Bench bench;
        auto propagate = bench.make({bench.plan(Pace::every(1s))});
        bench.run_until(propagate, bench.start + 1s);
        bench.transport.answer({.status = 500});
        propagate.abandon();
        CHECK(propagate.finished());
        REQUIRE(bench.observer.ended.size() == 2);
        for (const auto& send : bench.observer.ended) CHECK(send.result.abandoned);
        CHECK(bench.transport.attempts.size() == 2);
    }

    TEST_CASE("a long stall under load frees every place: no flight is lost")
    {
        Bench bench;
        auto propagate = bench.make({bench.plan(Pace::per_second(1000).value(), 50)});
        std::mt19937_64 generator(9);
        for (int i = 0; i < 5000; ++i) {
            bench.run_until(propagate, bench.now + std::chrono::milliseconds(generator() % 20));
            while (!bench.transport.waiting.empty() && generator() % 3 != 0)
                bench.transport.answer({.status = generator() % 4 == 0 ? 500U : 200U});
            REQUIRE(propagate.in_flight() <= 50);
        }
        propagate.stop();
        while (!propagate.finished()) {
            bench.run_until(propagate, bench.now + 10s);
            while (!bench.transport.waiting.empty()) bench.transport.answer({.status = 200});
        }
        std::set<std::string> keys;
        for (const auto& attempt : bench.transport.attempts) keys.insert(attempt.idempotency_key);
        CHECK(keys.size() == bench.observer.ended.size());
        CHECK(bench.observer.ended.size() + bench.observer.overflows == bench.observer.ticks);
        CHECK(bench.transport.attempts.size() == bench.observer.ended.size() + bench.observer.retries);
    }
}
