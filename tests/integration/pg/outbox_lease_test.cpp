#include "delivering.hpp"

#include <doctest/doctest.h>

#include <set>

// Which worker drives which lane.
TEST_SUITE("infra/pg/outbox_store")
{
    using namespace pg_support;
    using infra::pg::LaneShare;

    Lanes held_by_anyone(Session & session)
    {
        Lanes lanes;
        for (const auto& lane : session.column(
                 "SELECT lane FROM lane_cursors WHERE owner IS NOT NULL AND lease_until > now() ORDER BY 1"))
            lanes.push_back(static_cast<std::int16_t>(std::stoi(lane)));
        return lanes;
    }

    TEST_CASE("the first worker takes every lane and keeps it")
    {
        const Database database;
        const auto store = open_store(database);
        const auto first = store->renew();
        CHECK(lanes_of(first.acquired) == all_lanes());
        CHECK(first.kept.empty());
        CHECK(first.surplus.empty());
        CHECK_FALSE(first.disabled);
        for (const auto& lane : first.acquired) {
            CHECK(lane.epoch == 1);
            CHECK(lane.acked_seq == 0);
            CHECK(lane.shelf.empty());
            CHECK(lane.finished.empty());
        }
        auto session = database.session();
        session.execute("UPDATE lane_leases SET lease_until = now() + interval '1 s'");
        const auto again = store->renew();
        CHECK(again.kept == all_lanes());
        CHECK(again.acquired.empty());
        CHECK(session.rows("SELECT count(*), count(DISTINCT owner), max(epoch), "
                           "min(lease_until) > now() + interval '9 s' FROM lane_cursors") ==
              Rows{{"16", "1", "1", "t"}});
    }

    TEST_CASE("workers share the lanes fairly, and a lane has one owner at a time")
    {
        const Database database;
        auto session = database.session();
        std::vector<StorePtr> stores;
        stores.push_back(open_store(database));
        CHECK(stores[0]->renew().acquired.size() == 16);
        for (const std::size_t workers : {2U, 3U, 4U}) {
            CAPTURE(workers);
            stores.push_back(open_store(database));
            CHECK(stores.back()->renew().acquired.empty());  // nothing is free yet, but it is counted now
            for (auto& store : stores) {
                const auto lease = store->renew();
                if (!lease.surplus.empty()) store->release(lease.surplus);
            }
            stores.back()->renew();
            const std::size_t share = (16 + workers - 1) / workers;
            std::multiset<std::int16_t> seen;
            for (auto& store : stores) {
                const auto lease = store->renew();
                CHECK(lease.surplus.empty());
                CHECK(lease.kept.size() + lease.acquired.size() <= share);
                seen.insert(lease.kept.begin(), lease.kept.end());
                for (const auto lane : lanes_of(lease.acquired)) seen.insert(lane);
            }
            CHECK(Lanes(seen.begin(), seen.end()) == all_lanes());
        }
        CHECK(session.number("SELECT count(DISTINCT owner) FROM lane_cursors") == 4);
        // One leaves, and the others take what it held.
        stores.front()->leave();
        stores.erase(stores.begin());
        CHECK(session.number("SELECT count(*) FROM outbox_workers") == 3);
        CHECK(held_by_anyone(session).size() == 12);
        for (auto& store : stores) store->renew();
        CHECK(held_by_anyone(session) == all_lanes());
    }

    TEST_CASE("a worker that drains takes every free lane, and none of a living one")
    {
        const Database database;
        const auto living = open_store(database);
        CHECK(living->renew().acquired.size() == 16);
        const auto drain = open_store(database, LaneShare::everything);
        CHECK(drain->renew().acquired.empty());
        living->release({3, 4, 5, 6, 7, 8, 9, 10, 11, 12});
        CHECK(lanes_of(drain->renew().acquired) == Lanes{3, 4, 5, 6, 7, 8, 9, 10, 11, 12});
    }

    TEST_CASE("lanes of a dead worker are taken over when its leases have ended, and not before")
    {
        const Database database;
        auto session = database.session();
        const auto dead = open_store(database);
        dead->renew();
        const auto heir = open_store(database);
        session.execute("UPDATE outbox_workers SET seen_at = now() - interval '10001 ms'");
        CHECK(heir->renew().acquired.empty());
        let_leases_end(session);
        const auto inherited = heir->renew();
        CHECK(lanes_of(inherited.acquired) == all_lanes());
        for (const auto& lane : inherited.acquired) CHECK(lane.epoch == 2);
        // It was only slow: it learns that it has nothing left, and does not take it back.
        const auto late = dead->renew();
        CHECK(late.kept.empty());
        CHECK(late.acquired.empty());
    }

    TEST_CASE("an ended lease that nobody took goes on with its epoch")
    {
        const Database database;
        auto session = database.session();
        const auto store = open_store(database);
        store->renew();
        let_leases_end(session);
        CHECK(store->renew().kept == all_lanes());
        CHECK(held_by_anyone(session) == all_lanes());
        CHECK(session.value("SELECT max(epoch) FROM lane_cursors") == "1");
    }

    TEST_CASE("nobody can give back what another worker holds")
    {
        const Database database;
        const auto owner = open_store(database);
        owner->renew();
        const auto other = open_store(database);
        other->renew();
        other->release(all_lanes());
        other->leave();
        CHECK(owner->renew().kept == all_lanes());
    }

    TEST_CASE("a lane that was released is taken by the same worker with a new epoch")
    {
        const Database database;
        const auto store = open_store(database);
        store->renew();
        store->release({7});
        const auto lease = store->renew();
        CHECK(lease.kept.size() == 15);
        CHECK(lane_in(lease, 7).epoch == 2);
    }

    TEST_CASE("workers that were not seen for a minute are forgotten")
    {
        const Database database;
        auto session = database.session();
        session.execute(
            "INSERT INTO outbox_workers VALUES (gen_random_uuid(), now() - interval '61 s'), "
            "(gen_random_uuid(), now() - interval '59 s')");
        const auto store = open_store(database);
        CHECK(store->renew().acquired.size() == 16);  // neither of them counts
        CHECK(session.number("SELECT count(*) FROM outbox_workers") == 2);
    }

    TEST_CASE("a subscription that is switched off gives no lanes")
    {
        const Database database;
        auto session = database.session();
        const auto before = open_store(database);
        before->renew();
        session.execute("UPDATE subscriptions SET disabled = true");
        const auto kept = before->renew();
        CHECK(kept.disabled);
        CHECK(kept.kept == all_lanes());
        before->leave();
        const auto after = open_store(database)->renew();
        CHECK(after.disabled);
        CHECK(after.acquired.empty());
    }

    TEST_CASE("subscriptions have leases and workers of their own")
    {
        const Database database;
        database.session().execute("SELECT add_subscription('second', '{event.bus}')");
        const auto first = open_store(database);
        CHECK(first->renew().acquired.size() == 16);
        const auto second = open_store(database, LaneShare::fair, "second");
        CHECK(second->renew().acquired.size() == 16);
    }

    TEST_CASE("a connection that died fails one call, and the next one goes on as the same worker")
    {
        const Database database;
        const auto store = open_store(database);
        store->renew();
        CHECK(database.terminate("polis-outbox-worker") == 1);
        CHECK_THROWS(store->renew());
        CHECK(store->renew().kept == all_lanes());
        CHECK(database.terminate("polis-outbox-worker") == 1);
        CHECK_THROWS(store->read({{0, 0, 10}}));
        CHECK(store->read({{0, 0, 10}}).empty());
    }
}
