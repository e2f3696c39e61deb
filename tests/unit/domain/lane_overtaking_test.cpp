#include "domain/lane.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <utility>
#include <vector>

// A row that stays in flight while later ones are delivered holds the cursor; a crash would repeat the later
// ones. So it moves to the shelf, after a while.
TEST_SUITE("domain/lane: overtaking")
{
    using domain::DeliveryOutcome;
    using domain::Lane;
    using domain::OutboxMessage;
    using domain::TimePoint;
    using domain::Verdict;
    using namespace std::chrono_literals;
    using Seqs = std::vector<std::int64_t>;

    namespace {

    constexpr TimePoint t0 = std::chrono::sys_days{std::chrono::year{2026} / 11 / 21} + 4h;
    const DeliveryOutcome delivered{Verdict::delivered};
    const DeliveryOutcome fault{Verdict::retry, "timeout"};

    // Rows 1a 2b 3a 4c, with what may be sent in flight: 1, 2 and 4.
    Lane lane_in_flight()
    {
        Lane lane(0, 0, {}, {}, {}, {}, [] { return 0.5; });
        std::vector<OutboxMessage> messages;
        for (const auto& [seq, key] : {std::pair{1, 'a'}, {2, 'b'}, {3, 'a'}, {4, 'c'}})
            messages.push_back({0, seq, key, {}, "event.x", "{}"});
        lane.offer(std::move(messages));
        while (lane.take() != nullptr) {
        }
        return lane;
    }

    Seqs shelved(const domain::Settlement& settlement)
    {
        Seqs seqs;
        for (const auto& entry : settlement.shelved) {
            CHECK(entry.attempts == 0);
            CHECK(entry.next_at == TimePoint{});
            seqs.push_back(entry.seq);
        }
        return seqs;
    }

    }  // namespace

    TEST_CASE("the head waits for the limit, then goes to the shelf with its key, and the cursor moves on")
    {
        auto lane = lane_in_flight();
        lane.shelve_overtaken(t0);
        lane.settle(2, delivered, t0);
        lane.shelve_overtaken(t0 + 1s);
        lane.shelve_overtaken(t0 + 1s + 249ms);
        CHECK(lane.take_settlement().empty());
        lane.shelve_overtaken(t0 + 1s + 250ms);
        const auto settlement = lane.take_settlement();
        CHECK(shelved(settlement) == Seqs{1, 3});
        CHECK(settlement.cursor_moved);
        // Row 4 was not overtaken: nothing behind it is delivered.
        CHECK(settlement.acked_seq == 3);
        CHECK(lane.in_flight() == 2);
    }

    TEST_CASE("nothing is overtaken while rows end in order")
    {
        auto lane = lane_in_flight();
        lane.settle(1, delivered, t0);
        lane.shelve_overtaken(t0);
        lane.shelve_overtaken(t0 + 1h);
        CHECK(lane.take_settlement().shelved.empty());
        lane.shelve_all_overtaken();
        CHECK(lane.take_settlement().empty());
    }

    TEST_CASE("the time starts anew with every head")
    {
        auto lane = lane_in_flight();
        lane.settle(4, delivered, t0);
        lane.shelve_overtaken(t0);
        lane.settle(1, delivered, t0 + 200ms);
        lane.shelve_overtaken(t0 + 200ms);
        lane.shelve_overtaken(t0 + 449ms);
        CHECK(lane.take_settlement().shelved.empty());
        lane.shelve_overtaken(t0 + 450ms);
        CHECK(shelved(lane.take_settlement()) == Seqs{2, 3});
        CHECK(lane.acked_seq() == 4);
    }

    TEST_CASE("a row that was shelved in flight is settled on the shelf, and its key keeps its order")
    {
        struct Row {
            DeliveryOutcome outcome;
            Seqs next;  // due right after it
        };
        const Row rows[] = {{delivered, {3}}, {{Verdict::rejected, "HTTP 400"}, {3}}, {fault, {}}};
        for (const Row& row : rows) {
            CAPTURE(static_cast<int>(row.outcome.verdict));
            auto lane = lane_in_flight();
            lane.settle(2, delivered, t0);
            lane.shelve_all_overtaken();
            lane.take_settlement();
            CHECK(lane.take_due(t0) == Seqs{});
            CHECK(lane.take() == nullptr);
            lane.settle(1, row.outcome, t0);
            const auto settlement = lane.take_settlement();
            CHECK(settlement.delivered == (row.outcome.verdict == Verdict::delivered ? Seqs{1} : Seqs{}));
            CHECK(settlement.dead.size() == (row.outcome.verdict == Verdict::rejected ? 1U : 0U));
            CHECK(settlement.shelved.size() == (row.outcome.verdict == Verdict::retry ? 1U : 0U));
            CHECK(lane.take_due(t0) == row.next);
        }
    }

    TEST_CASE("a row that is ready and not yet taken is shelved, too, and comes back from there")
    {
        auto lane = lane_in_flight();
        lane.offer({{0, 5, 'd', {}, "event.x", "{}"}, {0, 6, 'e', {}, "event.x", "{}"}});
        lane.settle(1, delivered, t0);
        lane.settle(2, delivered, t0);
        // 3 became ready, 4 is in flight, 5 and 6 are ready.
        REQUIRE(lane.take()->seq == 5);
        lane.settle(5, delivered, t0);
        lane.shelve_all_overtaken();
        CHECK(shelved(lane.take_settlement()) == Seqs{3, 4});
        CHECK(lane.acked_seq() == 5);
        CHECK(lane.take_due(t0) == Seqs{3});
        REQUIRE(lane.take() != nullptr);
        CHECK(lane.take() == nullptr);
        CHECK(lane.in_flight() == 3);
    }
}
