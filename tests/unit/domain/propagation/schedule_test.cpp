#include "domain/propagation/tick_schedule.hpp"

#include <doctest/doctest.h>

#include <chrono>

using namespace std::chrono_literals;
using domain::propagation::MissedTicks;
using domain::propagation::Moment;
using domain::propagation::Pace;
using domain::propagation::TickSchedule;

TEST_SUITE("domain/propagation/pace")
{
    TEST_CASE("a period's steps lie on its multiples, also after ten years")
    {
        const auto pace = Pace::every(1s);
        CHECK(pace.offset(0) == 0ns);
        CHECK(pace.offset(60) == 60s);
        constexpr std::uint64_t ten_years = 10ULL * 365 * 24 * 3600;
        CHECK(pace.offset(ten_years) == std::chrono::seconds(ten_years));
        CHECK(pace.index_at(std::chrono::seconds(ten_years)) == ten_years);
        CHECK(pace.index_at(std::chrono::seconds(ten_years) - 1ns) == ten_years - 1);
    }

    TEST_CASE("a rate that does not divide a second adds no error up")
    {
        const auto pace = Pace::per_second(3).value();
        CHECK(pace.offset(1) == 333'333'333ns);
        CHECK(pace.offset(3) == 1s);
        CHECK(pace.offset(3'000'000'001) == 1'000'000'000s + 333'333'333ns);
    }

    TEST_CASE("index and offset are each other's inverse")
    {
        for (const double rate : {0.001, 0.3, 1.0, 7.0, 999.999, 20'000.0, 333'333.0, 1'000'000.0}) {
            CAPTURE(rate);
            const auto pace = Pace::per_second(rate).value();
            for (std::uint64_t i = 0; i < 2000; ++i) {
                REQUIRE(pace.index_at(pace.offset(i)) == i);
                if (i > 0) REQUIRE(pace.index_at(pace.offset(i) - 1ns) == i - 1);
            }
        }
    }

    TEST_CASE("the steps within a duration are counted without the one at its end")
    {
        CHECK(Pace::per_second(20'000).value().steps_within(5s) == 100'000);
        CHECK(Pace::per_second(3).value().steps_within(1s) == 3);
        CHECK(Pace::per_second(0.5).value().steps_within(5s) == 3);
        CHECK(Pace::per_second(3).value().steps_within(0s) == 0);
    }

    TEST_CASE("a rate is within its bounds")
    {
        CHECK_FALSE(Pace::per_second(0));
        CHECK_FALSE(Pace::per_second(-1));
        CHECK_FALSE(Pace::per_second(1'000'001));
        CHECK(Pace::per_second(0.001));
    }
}

TEST_SUITE("domain/propagation/tick_schedule")
{
    const Moment start{1000s};

    TEST_CASE("the first tick is due at once, the next one a period later")
    {
        TickSchedule schedule(start, Pace::every(2s), MissedTicks::skip);
        const auto first = schedule.take(start);
        REQUIRE(first);
        CHECK(first->index == 0);
        CHECK(first->ideal == start);
        CHECK(schedule.next() == start + 2s);
        CHECK_FALSE(schedule.take(start + 2s - 1ns));
        CHECK(schedule.take(start + 2s)->ideal == start + 2s);
    }

    TEST_CASE("being late does not move the ticks that follow")
    {
        TickSchedule schedule(start, Pace::every(1s), MissedTicks::skip);
        for (int i = 0; i < 60; ++i) {
            const auto tick = schedule.take(start + i * 1s + 900ms);
            REQUIRE(tick);
            CHECK(tick->ideal == start + i * 1s);
            CHECK(tick->skipped == 0);
            CHECK_FALSE(tick->caught_up);
        }
    }

    TEST_CASE("skip: after a stall only the newest tick happens, and the others are counted")
    {
        TickSchedule schedule(start, Pace::every(1s), MissedTicks::skip);
        schedule.take(start);
        const auto late = schedule.take(start + 4s + 500ms);
        REQUIRE(late);
        CHECK(late->index == 4);
        CHECK(late->ideal == start + 4s);
        CHECK(late->skipped == 3);
        CHECK_FALSE(schedule.take(start + 4s + 500ms));
        CHECK(schedule.next() == start + 5s);
    }

    TEST_CASE("catch up: after a stall all ticks happen, with the moments they were meant for")
    {
        TickSchedule schedule(start, Pace::every(1s), MissedTicks::catch_up);
        schedule.take(start);
        const Moment now = start + 4s + 500ms;
        for (int i = 1; i <= 4; ++i) {
            const auto tick = schedule.take(now);
            REQUIRE(tick);
            CHECK(tick->ideal == start + i * 1s);
            CHECK(tick->skipped == 0);
            CHECK(tick->caught_up == (i < 4));
        }
        CHECK_FALSE(schedule.take(now));
    }

    TEST_CASE("a limited schedule ends, whichever way it treats missed ticks")
    {
        for (const auto missed : {MissedTicks::skip, MissedTicks::catch_up}) {
            TickSchedule schedule(start, Pace::every(1s), missed, 3);
            std::uint64_t happened = 0;
            std::uint64_t skipped = 0;
            while (const auto tick = schedule.take(start + 100s)) {
                ++happened;
                skipped += tick->skipped;
            }
            CHECK(happened + skipped == 3);
            CHECK(schedule.finished());
        }
    }
}
