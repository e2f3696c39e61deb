#include "delivering.hpp"

#include <doctest/doctest.h>

// What a worker reads of its lanes and writes about them.
TEST_SUITE("infra/pg/outbox_store")
{
    using namespace pg_support;

    const domain::TimePoint later = domain::parse_time("2030-01-02T03:04:05.678901Z").value();
    constexpr auto later_text = "2030-01-02 03:04:05.678901+00";

    app::LaneSettlement moved_to(std::int64_t seq, std::int64_t epoch, std::int16_t lane = 1)
    {
        app::LaneSettlement entry{lane, epoch, {}};
        entry.settlement.acked_seq = seq;
        entry.settlement.cursor_moved = true;
        return entry;
    }

    TEST_CASE("a store for some topics leaves out the others, and goes on behind them")
    {
        const Database database;
        auto session = database.session();
        Seqs put;
        for (int i = 0; i < 6; ++i) put.push_back(put_message(session, 1, 40, i));
        const auto name_tram = [&](std::int64_t seq) {
            session.number("UPDATE outbox SET topic = 'event.tram' WHERE seq = " + std::to_string(seq) +
                           " RETURNING seq");
        };
        name_tram(put[1]);
        name_tram(put[4]);
        const auto store = infra::pg::make_outbox_store(database.url(), 1, infra::pg::LaneShare::fair,
                                                        {"event.tram", "event.boat"});
        CHECK(seqs_of(store->read({{1, 0, 100}})) == Seqs{put[1], put[4], put[5]});
        CHECK(seqs_of(store->read({{1, 0, 2}})) == Seqs{put[1]});
        CHECK(seqs_of(store->read({{1, put[1], 2}})) ==
              Seqs{put[3]});  // none of its own: a place to go on from
        CHECK(store->read({{1, put[5], 2}}).empty());
        CHECK(store->read({{1, 0, 1}})[0].topic == "event.bus");
    }

    TEST_CASE("lanes are read in order, after a number, and up to a limit")
    {
        const Database database;
        auto session = database.session();
        std::map<int, Seqs> put;
        for (int i = 0; i < 12; ++i) put[i % 2 + 1].push_back(put_message(session, i % 2 + 1, 40 + i, i));
        const auto store = open_store(database);
        CHECK(seqs_of(store->read({{1, 0, 100}})) == put[1]);
        CHECK(seqs_of(store->read({{1, put[1][1], 3}})) == Seqs{put[1][2], put[1][3], put[1][4]});
        CHECK(store->read({{5, 0, 100}}).empty());
        CHECK(store->read({{1, put[1].back(), 100}}).empty());

        const auto both = store->read({{1, put[1][4], 100}, {2, put[2][3], 100}});
        CHECK(seqs_of(both) == Seqs{put[1][5], put[2][4], put[2][5]});
        const auto& message = both[0];
        CHECK(message.lane == 1);
        CHECK(message.key_hash == 50);
        CHECK(message.topic == "event.bus");
        CHECK(message.payload == R"({"n": 10})");
        CHECK(domain::to_string(message.event_id) ==
              session.value("SELECT event_id FROM outbox WHERE seq = " + std::to_string(message.seq)));

        CHECK(seqs_of(store->fetch(1, {put[1][3], put[1][0], put[2][0], 999'999})) ==
              Seqs{put[1][0], put[1][3]});
    }

    TEST_CASE("success moves the cursor and leaves one line of progress, nothing per message")
    {
        const Database database;
        auto session = database.session();
        const auto store = open_store(database);
        store->renew();
        CHECK(store->settle({moved_to(5, 1, 1), moved_to(9, 1, 2)}).empty());
        CHECK(store->settle({moved_to(7, 1, 1)}).empty());
        CHECK(settled_state(session) == Rows{{"1", "7"},
                                             {"2", "9"},
                                             {"progress", "1", "5"},
                                             {"progress", "1", "7"},
                                             {"progress", "2", "9"}});
        // An answer that was lost is repeated.
        CHECK(store->settle({moved_to(7, 1, 1)}).empty());
        CHECK(session.number("SELECT count(*) FROM lane_progress") == 3);
    }

    TEST_CASE("success leaves no old version of a row behind, which a transaction held open would keep")
    {
        const Database database;
        auto session = database.session();
        const auto store = open_store(database);
        store->renew();
        const std::string places = "SELECT lane, ctid FROM lane_leases ORDER BY lane";
        const auto before = session.rows(places);
        for (std::int64_t seq = 1; seq <= 20; ++seq) CHECK(store->settle({moved_to(seq, 1, 1)}).empty());
        CHECK(session.rows(places) == before);
        CHECK(session.number("SELECT acked_seq FROM lane_cursors WHERE lane = 1") == 20);
    }

    // Fails three of a lane's messages in three ways and delivers the rest.
    app::LaneSettlement everything_at_once(const Seqs& seqs, std::int64_t epoch)
    {
        auto entry = moved_to(seqs[3], epoch);
        entry.settlement.shelved = {{seqs[0], 40, 2, later, "HTTP 503"}, {seqs[1], 40, 0, {}, {}}};
        entry.settlement.dead = {{seqs[2], 42, 5, {}, "HTTP 404"}};
        return entry;
    }

    Seqs put_five(Session & session)
    {
        Seqs seqs;
        for (int i = 0; i < 5; ++i) seqs.push_back(put_message(session, 1, i < 2 ? 40 : 40 + i, i));
        return seqs;
    }

    TEST_CASE("failures go to the shelf, dead letters keep a copy, and the cursor passes both")
    {
        const Database database;
        auto session = database.session();
        const auto seqs = put_five(session);
        const auto store = open_store(database);
        store->renew();
        CHECK(store->settle({everything_at_once(seqs, 1), moved_to(3, 1, 2)}).empty());
        const auto text = [](std::int64_t seq) { return std::to_string(seq); };
        CHECK(settled_state(session) ==
              Rows{{"1", text(seqs[3])},
                   {"2", "3"},
                   {"progress", "1", text(seqs[3])},
                   {"progress", "2", "3"},
                   {"shelf", "1", text(seqs[0]), "40", "2", later_text, "HTTP 503", "t"},
                   {"shelf", "1", text(seqs[1]), "40", "0", "1970-01-01 00:00:00+00", "<null>", "t"},
                   {"dead", "1", text(seqs[2]), "5", "HTTP 404"}});
        CHECK(session.rows("SELECT d.topic, d.payload, d.key_hash, d.event_id = o.event_id, "
                           "d.died_at BETWEEN now() - interval '1 min' AND clock_timestamp() "
                           "FROM dead_letters d JOIN outbox o USING (lane, seq)") ==
              Rows{{"event.bus", R"({"n": 2})", "42", "t", "t"}});
        // A dead letter outlives its row of the log.
        session.execute("DELETE FROM outbox");
        CHECK(session.value("SELECT payload FROM dead_letters") == R"({"n": 2})");
    }

    TEST_CASE("a later try of a shelved message changes, delivers or buries it")
    {
        const Database database;
        auto session = database.session();
        const auto seqs = put_five(session);
        const auto store = open_store(database);
        store->renew();
        store->settle({everything_at_once(seqs, 1)});
        auto next = moved_to(seqs[3], 1);
        SUBCASE("changes")
        {
            next.settlement.shelved = {{seqs[0], 40, 3, later, "timeout"}};
            CHECK(store->settle({next}).empty());
            CHECK(session.rows(
                      "SELECT attempts, last_error, delivered_at FROM outbox_retries ORDER BY seq LIMIT 1") ==
                  Rows{{"3", "timeout", "<null>"}});
        }
        SUBCASE("delivers")
        {
            next.settlement.delivered = {seqs[0]};
            CHECK(store->settle({next}).empty());
            CHECK(
                session.rows("SELECT attempts, last_error, delivered_at BETWEEN now() - interval '1 min' AND "
                             "clock_timestamp() FROM outbox_retries ORDER BY seq") ==
                Rows{{"2", "HTTP 503", "t"}, {"0", "<null>", "<null>"}});
        }
        SUBCASE("buries")
        {
            next.settlement.dead = {{seqs[0], 40, 5, {}, "HTTP 500"}};
            CHECK(store->settle({next}).empty());
            CHECK(session.rows("SELECT seq FROM outbox_retries") == Rows{{std::to_string(seqs[1])}});
            CHECK(session.rows("SELECT attempts, last_error, payload FROM dead_letters WHERE seq = " +
                               std::to_string(seqs[0])) == Rows{{"5", "HTTP 500", R"({"n": 0})"}});
        }
    }

    TEST_CASE("a message that was delivered ahead of the cursor is at its end for everybody")
    {
        const Database database;
        auto session = database.session();
        const auto seqs = put_five(session);
        const auto first = open_store(database);
        first->renew();
        app::LaneSettlement entry{1, 1, {}};
        entry.settlement.ahead = {{seqs[2], 42}, {seqs[4], 44}};
        CHECK(first->settle({entry}).empty());
        CHECK(first->settle({entry}).empty());  // the answer was lost: the same again changes nothing
        CHECK(session.rows(
                  "SELECT seq, status, attempts, published_at IS NULL FROM outbox_messages ORDER BY seq") ==
              Rows{{std::to_string(seqs[0]), "pending", "0", "t"},
                   {std::to_string(seqs[1]), "pending", "0", "t"},
                   {std::to_string(seqs[2]), "sent", "0", "f"},
                   {std::to_string(seqs[3]), "pending", "0", "t"},
                   {std::to_string(seqs[4]), "sent", "0", "f"}});
        first->leave();
        const auto lease = open_store(database)->renew();
        const auto& lane = lane_in(lease, 1);
        CHECK(lane.acked_seq == 0);
        CHECK(lane.finished == std::set<std::int64_t>{seqs[2], seqs[4]});
        CHECK(lane.shelf.empty());
    }

    TEST_CASE("the next owner finds the cursor, the shelf, and what is at an end beyond the cursor")
    {
        const Database database;
        auto session = database.session();
        const auto seqs = put_five(session);
        const auto first = open_store(database);
        first->renew();
        auto entry = everything_at_once(seqs, 1);
        entry.settlement.acked_seq = seqs[0] - 1;  // the first message is still in flight
        entry.settlement.shelved = {{seqs[1], 41, 2, later, "HTTP 503"}, {seqs[3], 43, 1, later, "HTTP 500"}};
        first->settle({entry});
        auto delivered = moved_to(seqs[0] - 1, 1);
        delivered.settlement.delivered = {seqs[3]};
        first->settle({delivered});
        first->leave();

        const auto lease = open_store(database)->renew();
        const auto& lane = lane_in(lease, 1);
        CHECK(lane.acked_seq == seqs[0] - 1);
        CHECK(lane.finished == std::set<std::int64_t>{seqs[2], seqs[3]});
        REQUIRE(lane.shelf.size() == 1);
        CHECK(lane.shelf[0].seq == seqs[1]);
        CHECK(lane.shelf[0].key_hash == 41);
        CHECK(lane.shelf[0].attempts == 2);
        CHECK(lane.shelf[0].next_at == later);
        CHECK(lane.shelf[0].last_error == "HTTP 503");
        CHECK(lane_in(lease, 2).shelf.empty());
    }

    TEST_CASE("what a stale owner settles is refused and changes nothing")
    {
        const Database database;
        auto session = database.session();
        const auto seqs = put_five(session);
        const auto stale = open_store(database);
        stale->renew();
        let_leases_end(session);
        const auto owner = open_store(database);
        owner->renew();
        owner->settle({moved_to(seqs[0], 2)});
        const auto before = settled_state(session);

        CHECK(stale->settle({moved_to(seqs[4], 1)}) == Lanes{1});
        auto everything = everything_at_once(seqs, 1);
        everything.settlement.delivered = {seqs[1]};
        everything.settlement.destination_gone = true;
        CHECK(stale->settle({everything}) == Lanes{1});
        CHECK(settled_state(session) == before);
        // Also a lane that came back to the same worker has a new epoch.
        owner->release({1});
        owner->renew();
        CHECK(owner->settle({moved_to(seqs[4], 2)}) == Lanes{1});
        CHECK(settled_state(session) == before);
        CHECK(owner->settle({moved_to(seqs[4], 3)}).empty());
    }

    TEST_CASE("a lane that was lost does not stop the others of the same settlement")
    {
        const Database database;
        auto session = database.session();
        const auto seqs = put_five(session);
        const auto store = open_store(database);
        store->renew();
        session.execute("UPDATE lane_leases SET epoch = epoch + 1 WHERE lane IN (1, 3)");
        CHECK(store->settle({moved_to(4, 1, 3), everything_at_once(seqs, 1), moved_to(8, 1, 2)}) ==
              Lanes{3, 1});
        CHECK(settled_state(session) == Rows{{"2", "8"}, {"progress", "2", "8"}});
    }

    TEST_CASE("a destination that is gone switches the subscription off")
    {
        const Database database;
        auto session = database.session();
        session.execute("SELECT add_subscription('other', '{*}')");
        const auto seqs = put_five(session);
        const auto store = open_store(database);
        store->renew();
        auto gone = moved_to(seqs[0], 1);
        gone.settlement.dead = {{seqs[0], 40, 1, {}, "HTTP 410"}};
        gone.settlement.destination_gone = true;
        CHECK(store->settle({gone}).empty());
        CHECK(session.rows("SELECT name, disabled FROM subscriptions ORDER BY 1") ==
              Rows{{"default", "t"}, {"other", "f"}});
        CHECK(store->renew().disabled);
    }
}
