#include "domain/lane.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <utility>
#include <vector>

// A row that stays in flight while later ones are delivered holds the cursor; a crash would repeat the later
// ones. So it moves to the shelf, after a while; and where the cursor moves slowly, the later ones are
// written.
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

    OutboxMessage row(std::int64_t seq, std::int64_t key) { return {0, seq, key, {}, "event.x", "{}"}; }

    void offer_and_take(Lane& lane, std::vector<OutboxMessage> messages)
    {
        lane.offer(std::move(messages));
        while (lane.take() != nullptr) {
        }
    }

    // With everything in flight that may be.
    Lane lane_of(std::vector<OutboxMessage> messages)
    {
        Lane lane(0, 0, {}, {}, {}, {}, [] { return 0.5; });
        offer_and_take(lane, std::move(messages));
        return lane;
    }

    // 1, 2 and 4 are in flight.
    Lane lane_in_flight() { return lane_of({row(1, 'a'), row(2, 'b'), row(3, 'a'), row(4, 'c')}); }

    // Rows 1 to 20 of one key, of which one is in flight at a time, and row 21 of another.
    Lane lane_with_a_long_key()
    {
        std::vector<OutboxMessage> messages;
        for (std::int64_t seq = 1; seq <= 20; ++seq) messages.push_back(row(seq, 'a'));
        messages.push_back(row(21, 'b'));
        return lane_of(std::move(messages));
    }

    void deliver_head(Lane& lane, std::int64_t seq, TimePoint now)
    {
        lane.settle(seq, delivered, now);
        lane.take();
        lane.secure_overtaking(now);
    }

    Seqs ahead(const domain::Settlement& settlement)
    {
        Seqs seqs;
        for (const auto& one : settlement.ahead) seqs.push_back(one.seq);
        return seqs;
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
        lane.secure_overtaking(t0);
        lane.settle(2, delivered, t0);
        lane.secure_overtaking(t0 + 1s);
        lane.secure_overtaking(t0 + 1s + 249ms);
        CHECK(lane.take_settlement().empty());
        lane.secure_overtaking(t0 + 1s + 250ms);
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
        lane.secure_overtaking(t0);
        lane.secure_overtaking(t0 + 1h);
        CHECK(lane.take_settlement().shelved.empty());
        lane.shelve_all_overtaken();
        CHECK(lane.take_settlement().empty());
    }

    TEST_CASE("the time starts anew with every head")
    {
        auto lane = lane_in_flight();
        lane.settle(4, delivered, t0);
        lane.secure_overtaking(t0);
        lane.settle(1, delivered, t0 + 200ms);
        lane.secure_overtaking(t0 + 200ms);
        lane.secure_overtaking(t0 + 449ms);
        CHECK(lane.take_settlement().shelved.empty());
        lane.secure_overtaking(t0 + 450ms);
        CHECK(shelved(lane.take_settlement()) == Seqs{2, 3});
        CHECK(lane.acked_seq() == 4);
    }

    TEST_CASE("a row that was delivered behind a key with many messages is written by itself, and only once")
    {
        auto lane = lane_with_a_long_key();
        lane.settle(21, delivered, t0);
        lane.secure_overtaking(t0);
        deliver_head(lane, 1, t0 + 100ms);
        deliver_head(lane, 2, t0 + 200ms);
        CHECK(lane.take_settlement().ahead.empty());
        deliver_head(lane, 3, t0 + 300ms);
        const auto settlement = lane.take_settlement();
        REQUIRE(ahead(settlement) == Seqs{21});
        CHECK(settlement.ahead[0].key_hash == 'b');
        CHECK(settlement.shelved.empty());
        CHECK(settlement.acked_seq == 3);
        for (std::int64_t seq = 4; seq <= 20; ++seq) deliver_head(lane, seq, t0 + seq * 100ms);
        const auto rest = lane.take_settlement();
        CHECK_FALSE(rest.exceptional());
        CHECK(rest.acked_seq == 21);
    }

    TEST_CASE("rows that the cursor reaches in time are not written by themselves, however long that goes on")
    {
        auto lane = lane_of({row(1, 'a'), row(2, 'b')});
        lane.settle(2, delivered, t0);
        lane.secure_overtaking(t0);
        auto now = t0;
        for (std::int64_t seq = 1; seq < 100; seq += 2) {
            // The next pair's later row is delivered before this pair's earlier one: something is always
            // ahead.
            offer_and_take(lane, {row(seq + 2, 1000 + seq), row(seq + 3, 'b')});
            lane.settle(seq + 3, delivered, now);
            now += 100ms;
            lane.settle(seq, delivered, now);
            lane.secure_overtaking(now);
            CHECK(lane.acked_seq() == seq + 1);
        }
        CHECK_FALSE(lane.take_settlement().exceptional());
    }

    TEST_CASE("what was delivered while others waited is written with the next ones")
    {
        auto lane = lane_with_a_long_key();
        lane.offer({row(22, 'c')});
        lane.settle(21, delivered, t0);
        lane.secure_overtaking(t0);
        REQUIRE(lane.take()->seq == 22);
        lane.settle(22, delivered, t0 + 200ms);
        deliver_head(lane, 1, t0 + 200ms);
        deliver_head(lane, 2, t0 + 250ms);
        CHECK(ahead(lane.take_settlement()) == Seqs{21, 22});
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
        lane.offer({row(5, 'd'), row(6, 'e')});
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
