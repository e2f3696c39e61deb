#include "writing.hpp"

// What the writer does when the database refuses an event, or is not there for a while.
TEST_SUITE("infra/pg/event_writer")
{
    using namespace pg_support;
    using app::AppendRefusal;

    // A valid JSON text that jsonb cannot hold; the domain refuses it long before.
    domain::PreparedEvent poison(std::string key = "")
    {
        return event("poison", std::move(key), R"({"a":"\u0000"})");
    }

    TEST_CASE("an event that the database refuses fails alone")
    {
        const Database database;
        HeldFence fence(database);
        Writer writer({.database_url = database.url()});
        std::vector<Pending> pending;
        pending.push_back(append(writer.log, event("opener")));
        fence.wait_for_waiting(1);
        for (int i = 0; i < 9; ++i)
            pending.push_back(append(writer.log, with_message("k" + std::to_string(i))));
        auto first = append(writer.log, poison("key-1"));
        for (int i = 0; i < 9; ++i)
            pending.push_back(append(writer.log, with_message("k" + std::to_string(i))));
        auto mixed = append(writer.log, {event("mixed"), poison("key-2"), event("mixed", "key-3")});
        fence.release();
        for (auto& one : pending) stored_one(result_of(one));

        const auto refused = result_of(first);
        CHECK_FALSE(refused.refusal.has_value());
        REQUIRE(refused.events.size() == 1);
        CHECK_FALSE(refused.events[0].has_value());
        const auto some = result_of(mixed);
        CHECK_FALSE(some.refusal.has_value());
        REQUIRE(some.events.size() == 3);
        CHECK(some.events[0].has_value());
        CHECK_FALSE(some.events[1].has_value());
        REQUIRE(some.events[2].has_value());

        auto session = database.session();
        CHECK(session.rows(
                  "SELECT service, count(*) FROM events WHERE id = family_base(id) GROUP BY 1 ORDER BY 1") ==
              Rows{{"health", "18"}, {"mixed", "2"}, {"opener", "1"}});
        CHECK(session.number("SELECT count(*) FROM outbox") == 18);
        CHECK(session.column("SELECT event_id FROM request_keys") ==
              std::vector<std::string>{domain::to_string(some.events[2]->event_id)});
        // The neighbours share one transaction, as without the poison.
        CHECK(session.number("SELECT count(DISTINCT xmin::text) FROM events WHERE service <> 'opener'") == 1);
        CHECK_FALSE(stored_one(append(writer.log, event("s", "key-3"))).replayed);  // another service
    }

    TEST_CASE("a transaction of nothing but refused events is answered")
    {
        const Database database;
        Writer writer({.database_url = database.url()});
        const auto result = result_of(append(writer.log, std::vector<domain::PreparedEvent>(5, poison())));
        CHECK_FALSE(result.refusal.has_value());
        REQUIRE(result.events.size() == 5);
        for (const auto& answer : result.events) CHECK_FALSE(answer.has_value());
        stored_one(append(writer.log, event("after")));
        CHECK(database.session().column("SELECT service FROM events") == std::vector<std::string>{"after"});
    }

    TEST_CASE("what a constraint refuses fails alone, too")
    {
        const Database database;
        auto session = database.session();
        SUBCASE("a check, whose SQLSTATE is also that of a missing partition")
        {
            session.execute("ALTER TABLE events ADD CONSTRAINT odd CHECK (service <> 'odd')");
        }
        SUBCASE("a unique index")
        {
            session.execute(
                "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
                "RAISE EXCEPTION 'odd' USING ERRCODE = 'unique_violation'; END $$");
            session.execute(
                "CREATE TRIGGER odd BEFORE INSERT ON events FOR EACH ROW WHEN (NEW.service = 'odd') "
                "EXECUTE FUNCTION refuse()");
        }
        Writer writer({.database_url = database.url()});
        const auto result = result_of(append(writer.log, {event("even"), event("odd"), event("even")}));
        CHECK_FALSE(result.refusal.has_value());
        REQUIRE(result.events.size() == 3);
        CHECK(result.events[0].has_value());
        CHECK_FALSE(result.events[1].has_value());
        CHECK(result.events[2].has_value());
        CHECK(session.rows("SELECT service, count(*) FROM events GROUP BY 1") == Rows{{"even", "2"}});
    }

    // With the snapshot of a transaction that waited for the fence, the key that was stored meanwhile is
    // unseen.
    TEST_CASE("another default of isolation breaks no key")
    {
        const Database database;
        auto session = database.session();
        std::string level;
        SUBCASE("repeatable read") { level = "repeatable read"; }
        SUBCASE("serializable") { level = "serializable"; }
        Session(cluster()).execute("ALTER DATABASE " + database.name() +
                                   " SET default_transaction_isolation = '" + level + "'");
        session.execute(
            "CREATE FUNCTION check_level() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "ASSERT current_setting('transaction_isolation') = 'read committed'; RETURN NULL; END $$");
        session.execute(
            "CREATE TRIGGER level AFTER INSERT ON events FOR EACH STATEMENT EXECUTE FUNCTION check_level()");
        HeldFence fence(database);
        Writer one({.database_url = database.url()});
        Writer other({.database_url = database.url()});
        auto first = append(one.log, event("s", "key"));
        auto second = append(other.log, event("s", "key"));
        fence.wait_for_waiting(2);
        fence.release();
        const auto answer = stored_one(result_of(first));
        const auto same = stored_one(result_of(second));
        CHECK(answer.event_id == same.event_id);
        CHECK(answer.replayed != same.replayed);
        CHECK(session.number("SELECT count(*) FROM events") == 1);
    }

    TEST_CASE("a transaction that fails at its COMMIT stores nothing and is not acknowledged")
    {
        const Database database;
        auto session = database.session();
        session.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "RAISE EXCEPTION 'no' USING ERRCODE = 'unique_violation'; END $$");
        session.execute(
            "CREATE CONSTRAINT TRIGGER late AFTER INSERT ON request_keys DEFERRABLE INITIALLY DEFERRED "
            "FOR EACH ROW EXECUTE FUNCTION refuse()");
        Writer writer({.database_url = database.url()});
        CHECK(refusal_of(append(writer.log, {event("s"), event("s", "key")})) == AppendRefusal::unavailable);
        CHECK(session.number("SELECT count(*) FROM events") == 0);
        session.execute("DROP TRIGGER late ON request_keys");
        stored(result_of(append(writer.log, {event("s"), event("s", "key")})));
        CHECK(session.number("SELECT count(*) FROM events") == 2);
    }

    TEST_CASE("a connection that died while idle is replaced without anybody noticing")
    {
        const Database database;
        Writer writer({.database_url = database.url()});
        stored_one(append(writer.log, event("s")));
        for (int i = 0; i < 3; ++i) {
            CHECK(database.terminate(writer_name) == 1);
            stored_one(append(writer.log, event("s")));
        }
        CHECK(database.session().number("SELECT count(*) FROM events") == 4);
    }

    TEST_CASE("a connection that dies before the COMMIT is replaced and the work repeated, once")
    {
        const Database database;
        Writer writer({.database_url = database.url()});
        stored_one(append(writer.log, event("s")));
        HeldFence fence(database);
        auto pending = append(writer.log, with_message("k"));
        fence.wait_for_waiting(1);
        CHECK(database.terminate(writer_name) == 1);
        fence.wait_for_waiting(1);  // again, over a new connection
        SUBCASE("then it is stored")
        {
            fence.release();
            stored_one(result_of(pending));
            CHECK(database.session().number("SELECT count(*) FROM outbox") == 1);
        }
        SUBCASE("but a second loss is told")
        {
            CHECK(database.terminate(writer_name) == 1);
            CHECK(result_of(pending).refusal == AppendRefusal::unavailable);
            fence.release();
            stored_one(append(writer.log, with_message("k")));
            CHECK(database.session().number("SELECT count(*) FROM outbox") == 1);
        }
    }

    TEST_CASE("without a database everything waiting is refused, and the writer recovers by itself")
    {
        const Database database;
        Writer writer({.database_url = database.url()});
        stored_one(append(writer.log, event("s")));
        Session admin(cluster());
        admin.execute("ALTER DATABASE " + database.name() + " ALLOW_CONNECTIONS false");
        database.terminate(writer_name);
        std::vector<Pending> pending;
        for (int i = 0; i < 5; ++i) pending.push_back(append(writer.log, event("lost")));
        for (auto& one : pending) CHECK(result_of(one).refusal == AppendRefusal::unavailable);
        admin.execute("ALTER DATABASE " + database.name() + " ALLOW_CONNECTIONS true");
        stored_one(append(writer.log, event("s")));
        CHECK(database.session().rows("SELECT service, count(*) FROM events GROUP BY 1") == Rows{{"s", "2"}});
        writer.log.stop();
        CHECK(writer.batches() == std::vector<Writer::Batch>{{1, 1}, {1, 1}});
    }

    TEST_CASE("a fence that does not come free is not waited for without end")
    {
        const Database database;
        HeldFence fence(database);
        Writer writer({.database_url = database.url("options='-c lock_timeout=100'")});
        CHECK(refusal_of(append(writer.log, event("s"))) == AppendRefusal::unavailable);
        fence.release();
        stored_one(append(writer.log, event("s")));
        CHECK(database.session().number("SELECT count(*) FROM events") == 1);
    }

    TEST_CASE("the writer makes the partitions that it misses")
    {
        const Database database;
        auto session = database.session();
        const std::string partitions =
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname ~ '^(events|outbox)_[0-9]+$' ORDER "
            "BY 1";
        const auto before = session.column(partitions);
        CHECK(before.size() == 8);  // yesterday to three days ahead, and three of the outbox
        for (const auto& name : before) {
            if (name.starts_with("events_")) session.execute("DROP TABLE " + name);
        }
        session.execute("SELECT setval('outbox_seq', 19999999)");
        Writer writer({.database_url = database.url()});
        stored_one(append(writer.log, with_message("k")));
        const auto after = session.column(partitions);
        CHECK(std::count_if(after.begin(), after.end(),
                            [](const auto& name) { return name.starts_with("events_"); }) == 5);
        for (const auto* name : {"outbox_0", "outbox_4", "outbox_5", "outbox_6"})
            CHECK(std::count(after.begin(), after.end(), name) == 1);
        CHECK(session.number("SELECT count(*) FROM outbox_4") == 1);
        CHECK(session.number("SELECT ensure_event_partitions(3) + ensure_outbox_partitions()") == 0);
        CHECK(session.number("SELECT ensure_event_partitions(5)") == 2);
        // A row that is put into a partition directly meets the fence as well.
        HeldFence fence(database);
        session.execute("SET lock_timeout = 100");
        CHECK_THROWS_WITH(session.execute("INSERT INTO outbox_6 SELECT * FROM outbox"),
                          doctest::Contains("lock timeout"));
    }
}
