#include "domain/lane.hpp"

#include <doctest/doctest.h>

TEST_SUITE("domain/lane requests")
{
    using domain::Blame;
    using domain::Lane;
    using domain::OutboxMessage;
    using domain::ShelfEntry;
    using domain::TimePoint;
    using domain::Verdict;

    const TimePoint now{std::chrono::hours{1}};

    Lane lane_of(std::vector<ShelfEntry> shelf = {})
    {
        return Lane(0, 0, std::move(shelf), {}, {.attempts_max = 3}, {}, [] { return 0.0; });
    }

    OutboxMessage message(std::int64_t seq, std::int64_t key, std::string topic = "t")
    {
        OutboxMessage made;
        made.seq = seq;
        made.key_hash = key;
        made.topic = std::move(topic);
        return made;
    }

    TEST_CASE("what is not wanted is passed over and moves the cursor")
    {
        auto lane = lane_of();
        lane.offer({message(1, 1, "x"), message(2, 2), message(3, 3, "x")},
                   [](const OutboxMessage& m) { return m.topic == "t"; });
        CHECK(lane.take()->seq == 2);
        CHECK(lane.take() == nullptr);
        lane.settle(2, {}, now);
        CHECK(lane.acked_seq() == 3);
    }

    TEST_CASE("replays go in their order, and later messages of the key wait")
    {
        auto lane = lane_of();
        lane.adopt({.seq = 7, .key_hash = 1});
        lane.adopt({.seq = 5, .key_hash = 1});
        CHECK(lane.take_due(now, 10) == std::vector<std::int64_t>{5});
        CHECK(lane.take_due(now, 10).empty());
        lane.settle(5, {}, now);
        CHECK(lane.take_due(now, 10) == std::vector<std::int64_t>{7});
        lane.settle(7, {}, now);
        CHECK(lane.take_settlement().delivered == std::vector<std::int64_t>{5, 7});
    }

    TEST_CASE("a message with a due time waits in the database, and comes back when it is asked for")
    {
        auto lane = lane_of();
        auto timer = message(1, 1);
        timer.due_at = now + std::chrono::hours{1};
        lane.offer({timer, message(2, 2)});
        CHECK(lane.take()->seq == 2);
        CHECK(lane.take() == nullptr);
        CHECK(lane.waiting() == 0);
        CHECK(!lane.next_due());
        lane.settle(2, {}, now);
        const auto settlement = lane.take_settlement();
        CHECK(settlement.acked_seq == 2);
        REQUIRE(settlement.shelved.size() == 1);
        CHECK(!settlement.shelved[0].adopted);
        CHECK(settlement.shelved[0].next_at == *timer.due_at);

        lane.adopt({.seq = 1, .key_hash = 1, .next_at = *timer.due_at});
        CHECK(lane.take_due(*timer.due_at, 10) == std::vector<std::int64_t>{1});
        lane.settle(1, {}, *timer.due_at);
        CHECK(lane.take_settlement().delivered == std::vector<std::int64_t>{1});

        auto again = lane_of({{.seq = 1, .key_hash = 1, .next_at = *timer.due_at}});
        again.offer({timer});
        CHECK(again.take() == nullptr);
        CHECK(again.waiting() == 1);
        CHECK(again.take_settlement().shelved.empty());
    }

    TEST_CASE("due entries are capped")
    {
        auto lane =
            lane_of({{.seq = 1, .key_hash = 1}, {.seq = 2, .key_hash = 2}, {.seq = 3, .key_hash = 3}});
        CHECK(lane.take_due(now, 2).size() == 2);
        CHECK(lane.take_due(now, 2).size() == 1);
    }

    TEST_CASE("a parked head becomes a dead letter and its key goes on")
    {
        auto lane = lane_of({{.seq = 1, .key_hash = 1, .attempts = 2, .next_at = now + std::chrono::hours{1}},
                             {.seq = 2, .key_hash = 1}});
        CHECK(lane.take_due(now, 10).empty());
        lane.adopt({.seq = 1, .key_hash = 1, .parked = true});
        const auto settlement = lane.take_settlement();
        REQUIRE(settlement.dead.size() == 1);
        CHECK(settlement.dead[0].seq == 1);
        CHECK(settlement.dead[0].attempts == 2);
        CHECK(settlement.dead[0].blame == Blame::parked);
        CHECK(lane.take_due(now, 10) == std::vector<std::int64_t>{2});
    }

    TEST_CASE("what is parked in flight dies with its next failure only")
    {
        auto lane = lane_of({{.seq = 1, .key_hash = 1}, {.seq = 2, .key_hash = 2}});
        CHECK(lane.take_due(now, 10).size() == 2);
        lane.adopt({.seq = 1, .key_hash = 1, .parked = true});
        lane.adopt({.seq = 2, .key_hash = 2, .parked = true});
        CHECK(lane.take_settlement().dead.empty());
        lane.settle(1, {.verdict = Verdict::retry, .error = "HTTP 500"}, now);
        lane.settle(2, {}, now);
        const auto settlement = lane.take_settlement();
        REQUIRE(settlement.dead.size() == 1);
        CHECK(settlement.dead[0].blame == Blame::parked);
        CHECK(settlement.delivered == std::vector<std::int64_t>{2});
    }

    TEST_CASE("a probe that failed is charged nothing and leaves no trace in the history")
    {
        auto lane = lane_of();
        lane.offer({message(1, 1)});
        lane.take();
        lane.settle(1, {.verdict = Verdict::retry, .error = "HTTP 503", .charged = false}, now);
        auto settlement = lane.take_settlement();
        REQUIRE(settlement.shelved.size() == 1);
        CHECK(settlement.shelved[0].attempts == 0);
        CHECK_FALSE(settlement.shelved[0].tried);
        CHECK(lane.take_due(now, 1).size() == 1);
        lane.settle(1, {.verdict = Verdict::retry, .error = "HTTP 503", .status = 503}, now);
        settlement = lane.take_settlement();
        CHECK(settlement.shelved[0].attempts == 1);
        CHECK(settlement.shelved[0].tried->status == 503);
    }
}
