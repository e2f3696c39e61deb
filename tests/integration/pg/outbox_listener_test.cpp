#include "infra/pg/outbox_store.hpp"
#include "writing.hpp"

#include <atomic>
#include <chrono>

TEST_SUITE("infra/pg/outbox_listener")
{
    using namespace pg_support;
    using infra::pg::OutboxListener;

    constexpr auto listener_name = "polis-outbox-worker listener";

    struct Wakes {
        std::atomic<int> count = 0;

        void wait_beyond(int before) const
        {
            eventually("the listener wakes", [&] { return count > before; });
        }
    };

    TEST_CASE("a listener wakes when it starts and at every notification")
    {
        const Database database;
        auto session = database.session();
        Wakes wakes;
        const OutboxListener listener(database.url(), [&] { ++wakes.count; });
        wakes.wait_beyond(0);
        for (int i = 0; i < 3; ++i) {
            const int before = wakes.count;
            session.execute("SELECT pg_notify('polis_outbox', '')");
            wakes.wait_beyond(before);
        }
        const int before = wakes.count;
        session.execute("SELECT pg_notify('another_channel', '')");
        session.execute("SELECT pg_notify('polis_outbox', '')");
        wakes.wait_beyond(before);
        CHECK(wakes.count == before + 1);
    }

    TEST_CASE("the writer wakes it with its messages, and only with messages")
    {
        const Database database;
        Wakes wakes;
        const OutboxListener listener(database.url(), [&] { ++wakes.count; });
        wakes.wait_beyond(0);
        Writer writer({.database_url = database.url()});
        stored_one(append(writer.log, event("s")));
        std::this_thread::sleep_for(std::chrono::milliseconds(20));  // beyond the writer's own limit of 10 ms
        const int before = wakes.count;
        CHECK(before == 1);
        stored_one(append(writer.log, with_message("k")));
        wakes.wait_beyond(before);
        CHECK(wakes.count == before + 1);
    }

    TEST_CASE("a listener survives the loss of its connection and wakes for what it missed")
    {
        const Database database;
        auto session = database.session();
        Wakes wakes;
        const OutboxListener listener(database.url(), [&] { ++wakes.count; });
        wakes.wait_beyond(0);
        for (int i = 0; i < 2; ++i) {
            const int before = wakes.count;
            CHECK(database.terminate(listener_name) == 1);
            wakes.wait_beyond(before);  // listens again
            const int again = wakes.count;
            session.execute("SELECT pg_notify('polis_outbox', '')");
            wakes.wait_beyond(again);
        }
    }

    TEST_CASE("a listener without a database waits for it and can be stopped meanwhile")
    {
        const Database database;
        Session admin(cluster());
        admin.execute("ALTER DATABASE " + database.name() + " ALLOW_CONNECTIONS false");
        Wakes wakes;
        {
            const OutboxListener listener(database.url(), [&] { ++wakes.count; });
            std::this_thread::sleep_for(std::chrono::milliseconds(50));  // into the pause between two tries
        }
        CHECK(wakes.count == 0);
        const OutboxListener listener(database.url(), [&] { ++wakes.count; });
        admin.execute("ALTER DATABASE " + database.name() + " ALLOW_CONNECTIONS true");
        wakes.wait_beyond(0);
    }

    TEST_CASE("a listener stops at once, also with nothing going on")
    {
        const Database database;
        Wakes wakes;
        auto listener = std::make_unique<OutboxListener>(database.url(), [&] { ++wakes.count; });
        wakes.wait_beyond(0);
        const auto from = std::chrono::steady_clock::now();
        listener.reset();
        CHECK(std::chrono::steady_clock::now() - from <
              std::chrono::seconds(10));  // it waits for ever otherwise
    }
}
