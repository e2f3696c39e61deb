#include "domain/retention.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

TEST_SUITE("domain/retention")
{
    using domain::NeededMessage;
    using domain::RetentionPolicy;
    using domain::RetentionState;
    using domain::TimePoint;
    using namespace std::chrono_literals;
    using Names = std::vector<std::string>;

    namespace {

    constexpr auto day = std::chrono::hours(24);

    TimePoint at_day(int number) { return TimePoint{} + 1000 * day + number * day; }

    // Four days of events, the last of them ends at day 4; four partitions of a hundred numbers, the last is
    // written.
    RetentionState four_of_each()
    {
        constexpr std::int64_t hundred = 100;
        RetentionState state;
        for (int n = 0; n < 4; ++n) {
            const auto name = std::to_string(n);
            state.events.push_back({"e" + name, at_day(n + 1)});
            state.outbox.push_back(
                {"o" + name, hundred * n, hundred * n + hundred, at_day(n), at_day(n) + 12h});
        }
        state.next_seq = 350;
        return state;
    }

    RetentionPolicy days(int events, int outbox) { return {.events = events * day, .outbox = outbox * day}; }

    template <class Partitions>
    Names names_of(const Partitions& partitions)
    {
        Names names;
        for (const auto& partition : partitions) names.push_back(partition.name);
        return names;
    }

    }  // namespace

    TEST_CASE("what is dropped, and what is kept for whom")
    {
        struct Case {
            const char* what;
            RetentionPolicy policy;
            TimePoint now;
            std::vector<NeededMessage> needed;
            Names events, outbox, blocked;
        };
        const Case cases[] = {
            {"zero is for ever", days(0, 0), at_day(4000), {}, {}, {}, {}},
            {"nothing is old enough", days(10, 10), at_day(4), {}, {}, {}, {}},
            {"a day of events goes when its last event is old enough",
             days(2, 0),
             at_day(3),
             {},
             {"e0"},
             {},
             {}},
            {"a moment earlier it stays", days(2, 0), at_day(3) - 1us, {}, {}, {}, {}},
            {"a full partition goes with its newest message",
             days(0, 1),
             at_day(1) + 12h,
             {},
             {},
             {"o0"},
             {}},
            {"a moment earlier it stays, too", days(0, 1), at_day(1) + 12h - 1us, {}, {}, {}, {}},
            {"the partition that is written stays, however old",
             days(1, 1),
             at_day(100),
             {},
             {"e0", "e1", "e2", "e3"},
             {"o0", "o1", "o2"},
             {}},
            {"a subscription that lags keeps all from its next message on",
             days(1, 1),
             at_day(100),
             {{"slow", 150, at_day(1) + 6h}},
             {"e0"},
             {"o0"},
             {"e1 slow", "e2 slow", "e3 slow", "o1 slow", "o2 slow"}},
            {"the last number of a partition keeps it",
             days(0, 1),
             at_day(100),
             {{"slow", 99, at_day(0)}},
             {},
             {},
             {"o0 slow", "o1 slow", "o2 slow"}},
            {"the first number after it does not",
             days(0, 1),
             at_day(100),
             {{"slow", 100, at_day(1)}},
             {},
             {"o0"},
             {"o1 slow", "o2 slow"}},
            {"one that starts at the beginning needs everything",
             days(0, 1),
             at_day(100),
             {{"quick", 340, at_day(3)}, {"new", 0, at_day(0)}},
             {},
             {},
             {"o0 new", "o1 new", "o2 new"}},
            {"what is not old enough is not told as blocked",
             days(0, 1),
             at_day(2),
             {{"slow", 0, at_day(0)}},
             {},
             {},
             {"o0 slow"}},
        };
        for (const auto& one : cases) {
            CAPTURE(one.what);
            auto state = four_of_each();
            state.needed = one.needed;
            const auto plan = domain::plan_retention(one.policy, state, one.now);
            CHECK(names_of(plan.events) == one.events);
            CHECK(names_of(plan.outbox) == one.outbox);
            Names blocked;
            for (const auto& partition : plan.blocked)
                blocked.push_back(partition.name + " " + partition.subscription);
            CHECK(blocked == one.blocked);
        }
    }

    TEST_CASE("a partition without messages goes once it is behind")
    {
        auto state = four_of_each();
        state.outbox[0].oldest = state.outbox[0].newest = std::nullopt;
        CHECK(names_of(domain::plan_retention(days(0, 100), state, at_day(4)).outbox) == Names{"o0"});
        state.next_seq = 99;
        CHECK(domain::plan_retention(days(0, 100), state, at_day(4)).outbox.empty());
        state.next_seq = 100;
        CHECK(names_of(domain::plan_retention(days(0, 100), state, at_day(4)).outbox) == Names{"o0"});
    }

    TEST_CASE("a new partition is begun when a quarter of the retention is over")
    {
        auto state = four_of_each();
        const auto begins = [&](int outbox_days, TimePoint now) {
            return domain::plan_retention(days(0, outbox_days), state, now).outbox_begins_anew_at;
        };
        CHECK_FALSE(begins(8, at_day(5) - 1us));
        CHECK(begins(8, at_day(5)) == 400);
        CHECK_FALSE(begins(0, at_day(4000)));
        state.outbox[3].oldest = std::nullopt;  // nothing was written into it yet
        CHECK_FALSE(begins(8, at_day(4000)));
        state.outbox[3].oldest = at_day(3);
        state.next_seq = 400;  // it is full, and the next one is not made yet
        CHECK_FALSE(begins(8, at_day(4000)));
    }
}
