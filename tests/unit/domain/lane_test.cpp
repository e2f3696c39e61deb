#include "domain/lane.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

TEST_SUITE("domain/lane")
{
    using domain::DeliveryOutcome;
    using domain::Lane;
    using domain::LaneLimits;
    using domain::OutboxMessage;
    using domain::ShelfEntry;
    using domain::TimePoint;
    using domain::Verdict;
    using namespace std::chrono_literals;
    using Seqs = std::vector<std::int64_t>;

    namespace {

    constexpr TimePoint t0 = std::chrono::sys_days{std::chrono::year{2026} / 11 / 21} + 4h;
    constexpr TimePoint at_once{};
    const DeliveryOutcome delivered{Verdict::delivered};
    const DeliveryOutcome fault{Verdict::retry, "timeout"};
    const DeliveryOutcome refusal{Verdict::rejected, "HTTP 400"};
    const DeliveryOutcome abandoned{Verdict::abandoned};

    // Half of every backoff: 0.5 s, 1 s, 2 s, 4 s.
    Lane lane_of(std::vector<ShelfEntry> shelf = {}, std::set<std::int64_t> finished = {},
                 LaneLimits limits = {}, std::int64_t acked = 0, std::uint32_t attempts_max = 5)
    {
        return Lane(3, acked, std::move(shelf), std::move(finished), {attempts_max, 1000ms, 300'000ms},
                    limits, [] { return 0.5; });
    }

    struct Entry {
        std::int64_t seq;
        char key;
    };

    void offer(Lane& lane, const std::vector<Entry>& rows, const Lane::Wants& wants = {})
    {
        std::vector<OutboxMessage> messages;
        for (const auto& row : rows) messages.push_back({3, row.seq, row.key, {}, "event.x", "{}"});
        lane.offer(std::move(messages), wants);
    }

    Seqs take_all(Lane& lane)
    {
        Seqs seqs;
        while (const auto* message = lane.take()) seqs.push_back(message->seq);
        return seqs;
    }

    Seqs seqs_of(const std::vector<ShelfEntry>& entries)
    {
        Seqs seqs;
        for (const auto& entry : entries) seqs.push_back(entry.seq);
        return seqs;
    }

    void check_entry(const ShelfEntry& entry, std::int64_t seq, std::uint32_t attempts, TimePoint next_at,
                     const std::string& error)
    {
        CAPTURE(seq);
        CHECK(entry.seq == seq);
        CHECK(entry.attempts == attempts);
        CHECK(entry.next_at == next_at);
        CHECK(entry.last_error == error);
    }

    }  // namespace

    TEST_CASE("messages go out in order; those of a key wait for each other, and for no others")
    {
        auto lane = lane_of();
        CHECK(lane.lane() == 3);
        offer(lane, {{1, 'a'}, {2, 'b'}, {3, 'a'}, {4, 'a'}, {5, 'c'}});
        CHECK(lane.read_after() == 5);
        CHECK(lane.has_ready());
        CHECK(take_all(lane) == Seqs{1, 2, 5});
        CHECK_FALSE(lane.has_ready());
        CHECK(lane.in_flight() == 3);
        lane.settle(1, delivered, t0);
        CHECK(take_all(lane) == Seqs{3});
        lane.settle(2, delivered, t0);
        CHECK(take_all(lane) == Seqs{});
        lane.settle(3, delivered, t0);
        CHECK(take_all(lane) == Seqs{4});
    }

    TEST_CASE("the cursor stops before the first row that is not at its end")
    {
        auto lane = lane_of({}, {}, {}, 10);
        CHECK(lane.acked_seq() == 10);
        CHECK(lane.read_after() == 10);
        // The log has gaps: other lanes have the numbers between.
        offer(lane, {{12, 'a'}, {15, 'b'}, {20, 'c'}});
        take_all(lane);
        CHECK(lane.take_settlement().empty());
        lane.settle(15, delivered, t0);
        CHECK(lane.acked_seq() < 12);
        CHECK(lane.take_settlement().shelved.empty());
        lane.settle(12, delivered, t0);
        CHECK(lane.acked_seq() >= 15);
        CHECK(lane.acked_seq() < 20);
        lane.settle(20, delivered, t0);
        CHECK(lane.acked_seq() == 20);
        const auto settlement = lane.take_settlement();
        CHECK(settlement.cursor_moved);
        CHECK(settlement.acked_seq == 20);
        CHECK_FALSE(settlement.exceptional());
        CHECK_FALSE(settlement.empty());
        CHECK(lane.take_settlement().empty());
    }

    TEST_CASE("a move over messages that nobody wanted is told from one over deliveries")
    {
        auto lane = lane_of();
        const auto only_b = [](const OutboxMessage& message) { return message.key_hash == 'b'; };
        offer(lane, {{1, 'a'}, {2, 'a'}}, only_b);
        CHECK(lane.unwritten());
        CHECK_FALSE(lane.delivered_unwritten());
        offer(lane, {{3, 'b'}, {4, 'a'}}, only_b);
        take_all(lane);
        CHECK_FALSE(lane.delivered_unwritten());
        lane.settle(3, delivered, t0);
        CHECK(lane.delivered_unwritten());
        CHECK(lane.take_settlement().acked_seq == 4);
        CHECK_FALSE(lane.delivered_unwritten());
        offer(lane, {{5, 'a'}}, only_b);
        CHECK(lane.unwritten());
        CHECK_FALSE(lane.delivered_unwritten());
    }

    TEST_CASE("a message that fails goes to the shelf, and those behind it follow")
    {
        auto lane = lane_of();
        offer(lane, {{1, 'a'}, {2, 'b'}, {3, 'a'}});
        take_all(lane);
        lane.settle(1, fault, t0);
        CHECK(take_all(lane) == Seqs{});
        lane.settle(2, delivered, t0);
        CHECK(lane.acked_seq() == 3);
        offer(lane, {{4, 'a'}, {5, 'b'}});
        CHECK(take_all(lane) == Seqs{5});
        CHECK(lane.waiting() == 3);

        const auto settlement = lane.take_settlement();
        CHECK(settlement.exceptional());
        CHECK(settlement.acked_seq >= 3);
        CHECK(settlement.acked_seq < 5);
        REQUIRE(seqs_of(settlement.shelved) == Seqs{1, 3, 4});
        check_entry(settlement.shelved[0], 1, 1, t0 + 500ms, "timeout");
        check_entry(settlement.shelved[1], 3, 0, at_once, "");
        check_entry(settlement.shelved[2], 4, 0, at_once, "");
        CHECK(settlement.shelved[0].key_hash == 'a');
        CHECK(settlement.delivered.empty());
        CHECK(settlement.dead.empty());
    }

    TEST_CASE("the head of a key on the shelf goes out when it is due, one at a time")
    {
        auto lane = lane_of();
        offer(lane, {{1, 'a'}, {2, 'a'}, {3, 'b'}});
        take_all(lane);
        lane.settle(1, fault, t0);
        lane.settle(3, fault, t0 + 100ms);
        lane.take_settlement();
        CHECK(lane.next_due() == t0 + 500ms);
        CHECK(lane.take_due(t0 + 499ms) == Seqs{});
        CHECK(lane.take_due(t0 + 500ms) == Seqs{1});
        CHECK(lane.in_flight() == 1);
        CHECK(lane.next_due() == t0 + 600ms);
        CHECK(lane.take_due(t0 + 599ms) == Seqs{});
        CHECK(lane.take_due(t0 + 600ms) == Seqs{3});
        CHECK_FALSE(lane.next_due().has_value());

        lane.settle(1, delivered, t0 + 1s);
        CHECK(lane.take_settlement().delivered == Seqs{1});
        CHECK(lane.next_due() == at_once);
        CHECK(lane.take_due(t0 + 1s) == Seqs{2});
        lane.settle(2, delivered, t0 + 1s);
        lane.settle(3, delivered, t0 + 1s);
        CHECK(lane.take_settlement().delivered == Seqs{2, 3});
        CHECK(lane.waiting() == 0);
        // The key is free again.
        offer(lane, {{4, 'a'}});
        CHECK(take_all(lane) == Seqs{4});
    }

    TEST_CASE("waits grow with the attempts, and after the last the message is dead")
    {
        auto lane = lane_of();
        offer(lane, {{1, 'a'}, {2, 'a'}});
        take_all(lane);
        lane.settle(1, fault, t0);
        const std::chrono::milliseconds waits[] = {500ms, 1s, 2s, 4s};
        TimePoint now = t0;
        for (std::uint32_t attempt = 1; attempt <= 4; ++attempt) {
            CAPTURE(attempt);
            const auto settlement = lane.take_settlement();
            REQUIRE_FALSE(settlement.shelved.empty());
            check_entry(settlement.shelved[0], 1, attempt, now + waits[attempt - 1], "timeout");
            CHECK(settlement.dead.empty());
            now += waits[attempt - 1];
            REQUIRE(lane.take_due(now) == Seqs{1});
            lane.settle(1, fault, now);
        }
        const auto last = lane.take_settlement();
        REQUIRE(seqs_of(last.dead) == Seqs{1});
        CHECK(last.dead[0].attempts == 5);
        CHECK(last.dead[0].last_error == "timeout");
        CHECK(last.dead[0].key_hash == 'a');
        CHECK(last.shelved.empty());
        CHECK(last.delivered.empty());
        CHECK(lane.take_due(now) == Seqs{2});
    }

    TEST_CASE("with one attempt the first failure is the last")
    {
        auto lane = lane_of({}, {}, {}, 0, 1);
        offer(lane, {{1, 'a'}, {2, 'a'}});
        take_all(lane);
        lane.settle(1, fault, t0);
        const auto settlement = lane.take_settlement();
        CHECK(seqs_of(settlement.dead) == Seqs{1});
        CHECK(settlement.shelved.empty());
        CHECK(settlement.acked_seq == 1);
        CHECK(take_all(lane) == Seqs{2});
    }

    TEST_CASE("Retry-After is the least wait of the message")
    {
        auto lane = lane_of();
        offer(lane, {{1, 'a'}});
        take_all(lane);
        lane.settle(1, {Verdict::retry, "HTTP 503", 90s}, t0);
        CHECK(lane.next_due() == t0 + 90s);
    }

    TEST_CASE("a refused message is a dead letter at once, and its key goes on")
    {
        auto lane = lane_of();
        offer(lane, {{1, 'a'}, {2, 'a'}});
        take_all(lane);
        lane.settle(1, refusal, t0);
        const auto settlement = lane.take_settlement();
        REQUIRE(seqs_of(settlement.dead) == Seqs{1});
        CHECK(settlement.dead[0].attempts == 1);
        CHECK(settlement.dead[0].last_error == "HTTP 400");
        CHECK(settlement.shelved.empty());
        CHECK_FALSE(settlement.destination_gone);
        CHECK(settlement.acked_seq == 1);
        CHECK(take_all(lane) == Seqs{2});
    }

    TEST_CASE("a destination that is gone is told once")
    {
        auto lane = lane_of();
        offer(lane, {{1, 'a'}});
        take_all(lane);
        lane.settle(1, {Verdict::gone, "HTTP 410"}, t0);
        const auto settlement = lane.take_settlement();
        CHECK(settlement.destination_gone);
        CHECK(seqs_of(settlement.dead) == Seqs{1});
        CHECK_FALSE(lane.take_settlement().destination_gone);
    }

    TEST_CASE("an abandoned message is charged nothing and not passed by the cursor")
    {
        auto lane = lane_of({{1, 'a', 2, t0, "timeout"}}, {}, {}, 4);
        offer(lane, {{5, 'b'}, {6, 'c'}});
        CHECK(lane.take_due(t0) == Seqs{1});
        CHECK(take_all(lane) == Seqs{5, 6});
        lane.settle(1, abandoned, t0);
        lane.settle(5, abandoned, t0);
        CHECK(lane.in_flight() == 1);
        CHECK(lane.take_settlement().empty());
        CHECK(lane.acked_seq() == 4);
        // What is on the shelf may be tried again; it has the attempts it had.
        CHECK(lane.take_due(t0) == Seqs{1});
        lane.settle(1, fault, t0);
        const auto settlement = lane.take_settlement();
        REQUIRE(settlement.shelved.size() == 1);
        CHECK(settlement.shelved[0].attempts == 3);
    }

    TEST_CASE("a lane goes on from what was stored")
    {
        auto lane = lane_of({{4, 'a', 3, t0 + 5s, "HTTP 503"}, {8, 'a', 0, at_once, ""}}, {7, 9}, {}, 6);
        CHECK(lane.waiting() == 2);
        CHECK(lane.next_due() == t0 + 5s);
        // 7 and 9 came to an end, 8 is on the shelf; only the rest is sent.
        offer(lane, {{7, 'b'}, {8, 'a'}});
        CHECK(take_all(lane) == Seqs{});
        CHECK(lane.acked_seq() == 8);
        offer(lane, {{9, 'b'}, {10, 'b'}, {11, 'a'}});
        CHECK(take_all(lane) == Seqs{10});
        const auto settlement = lane.take_settlement();
        CHECK(seqs_of(settlement.shelved) == Seqs{11});
        CHECK(lane.take_due(t0 + 5s) == Seqs{4});
        lane.settle(4, refusal, t0 + 5s);
        CHECK(seqs_of(lane.take_settlement().dead) == Seqs{4});
        CHECK(lane.take_due(t0 + 5s) == Seqs{8});
    }

    TEST_CASE("what ended on the shelf before its row was read is not sent again")
    {
        auto lane = lane_of({{7, 'a', 1, at_once, ""}, {8, 'b', 1, at_once, ""}}, {}, {}, 6);
        CHECK(lane.take_due(t0) == Seqs{7, 8});
        lane.settle(7, delivered, t0);
        lane.settle(8, refusal, t0);
        lane.take_settlement();
        offer(lane, {{7, 'a'}, {8, 'b'}, {9, 'a'}});
        CHECK(take_all(lane) == Seqs{9});
        lane.settle(9, delivered, t0);
        CHECK(lane.acked_seq() == 9);
    }

    TEST_CASE("an outcome counts once, and only of what is in flight")
    {
        auto lane = lane_of();
        offer(lane, {{1, 'a'}, {2, 'a'}});
        lane.settle(1, refusal, t0);
        lane.settle(77, refusal, t0);
        CHECK(lane.take_settlement().empty());
        CHECK(take_all(lane) == Seqs{1});
        lane.settle(2, refusal, t0);
        CHECK(lane.take_settlement().empty());
        lane.settle(1, delivered, t0);
        lane.settle(1, refusal, t0);
        const auto settlement = lane.take_settlement();
        CHECK(settlement.acked_seq == 1);
        CHECK(settlement.dead.empty());
    }

    TEST_CASE("a lane reads no further than its window, nor with a full shelf")
    {
        auto lane = lane_of({}, {}, {.window_rows_max = 3, .shelf_rows_max = 2});
        CHECK(lane.room() == 3);
        offer(lane, {{1, 'a'}, {2, 'b'}});
        CHECK(lane.room() == 1);
        offer(lane, {{3, 'c'}});
        CHECK(lane.room() == 0);
        take_all(lane);
        lane.settle(2, delivered, t0);
        CHECK(lane.room() == 1);
        lane.settle(1, fault, t0);
        CHECK(lane.room() == 2);
        lane.settle(3, fault, t0);
        CHECK(lane.waiting() == 2);
        CHECK(lane.room() == 0);
        CHECK(lane.take_due(t0 + 500ms) == Seqs{1, 3});
        lane.settle(1, delivered, t0 + 1s);
        CHECK(lane.room() == 3);
    }
}
