#include "proxy.hpp"
#include "writing.hpp"

// A connection that is cut around the COMMIT: nobody knows then what the server did, and nobody may be told
// otherwise.
TEST_SUITE("infra/pg/event_writer")
{
    using namespace pg_support;
    using app::AppendRefusal;
    using Cut = Proxy::Cut;

    std::string socket_directory()
    {
        return Session(cluster()).value(
            "SELECT split_part(current_setting('unix_socket_directories'), ',', 1)");
    }

    TEST_CASE("an answer to COMMIT that is lost leaves the outcome unknown, and the repeat finds the event")
    {
        const Database database;
        Proxy proxy(socket_directory());
        Writer writer({.database_url = database.url(proxy.parameters())});
        stored_one(append(writer.log, event("s")));
        auto session = database.session();

        auto keyed = with_message("k");
        keyed.request_key = "key";
        keyed.request_digest = domain::key_digest(keyed.service, keyed.request_key);
        proxy.cut(Cut::after_commit);
        CHECK(refusal_of(append(writer.log, keyed)) == AppendRefusal::outcome_unknown);
        CHECK(proxy.has_cut());
        CHECK(session.number("SELECT count(*) FROM request_keys") == 1);  // it was committed

        const auto repeated = stored_one(append(writer.log, keyed));
        CHECK(repeated.replayed);
        CHECK(domain::to_string(repeated.event_id) == session.value("SELECT event_id FROM request_keys"));
        CHECK(session.number("SELECT count(*) FROM events") == 3);
        CHECK(session.number("SELECT count(*) FROM outbox") == 1);
    }

    TEST_CASE("a COMMIT that does not arrive leaves the outcome unknown, and the repeat stores the event")
    {
        const Database database;
        Proxy proxy(socket_directory());
        Writer writer({.database_url = database.url(proxy.parameters())});
        stored_one(append(writer.log, event("s")));
        auto session = database.session();
        proxy.cut(Cut::before_commit);
        CHECK(refusal_of(append(writer.log, event("s", "key"))) == AppendRefusal::outcome_unknown);
        CHECK(proxy.has_cut());
        CHECK_FALSE(stored_one(append(writer.log, event("s", "key"))).replayed);
        CHECK(session.number("SELECT count(*) FROM events") == 2);
    }

    TEST_CASE("everything of the transaction has the same unknown outcome, and what came later has not")
    {
        const Database database;
        HeldFence fence(database);
        Proxy proxy(socket_directory());
        Writer writer({.database_url = database.url(proxy.parameters()), .batch_rows_max = 3});
        std::vector<Pending> pending;
        pending.push_back(append(writer.log, event("first")));
        fence.wait_for_waiting(1);
        for (int i = 0; i < 7; ++i) pending.push_back(append(writer.log, event("s", std::to_string(i))));
        proxy.cut(Cut::after_commit);
        fence.release();
        std::vector<bool> unknown;
        for (auto& one : pending) {
            const auto refusal = result_of(one).refusal;
            if (refusal) CHECK(refusal == AppendRefusal::outcome_unknown);
            unknown.push_back(refusal.has_value());
        }
        // The cut met the first transaction, which held one event.
        CHECK(unknown == std::vector<bool>{true, false, false, false, false, false, false, false});
        CHECK(database.session().number("SELECT count(*) FROM events") == 8);
    }

    TEST_CASE("a connection that is cut before the COMMIT is sent costs nobody anything")
    {
        const Database database;
        Proxy proxy(socket_directory());
        Writer writer({.database_url = database.url(proxy.parameters())});
        stored_one(append(writer.log, event("s")));
        proxy.cut(Cut::before_anything);
        stored_one(append(writer.log, event("s")));
        CHECK(proxy.has_cut());
        CHECK(database.session().number("SELECT count(*) FROM events") == 2);
    }

    TEST_CASE("a repeated transaction after a lost answer is never made by the writer itself")
    {
        const Database database;
        Proxy proxy(socket_directory());
        Writer writer({.database_url = database.url(proxy.parameters())});
        stored_one(append(writer.log, event("s")));
        for (int i = 0; i < 5; ++i) {
            proxy.cut(Cut::after_commit);
            CHECK(refusal_of(append(writer.log, event("s"))) == AppendRefusal::outcome_unknown);
        }
        CHECK(database.session().number("SELECT count(*) FROM events") == 6);
    }
}
