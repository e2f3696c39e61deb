#include "pg/query_pool.hpp"

#include "database.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <future>

TEST_SUITE("infra/pg/query_pool")
{
    using namespace pg_support;
    using infra::pg::QueryPool;

    constexpr auto pool_name = "polis test pool";

    // "failed", or what the work returned.
    template <class Work>
    std::string run(QueryPool & pool, Work work)
    {
        auto answer = std::make_shared<std::promise<std::string>>();
        auto future = answer->get_future();
        pool.submit([answer, work](soci::session& session) { answer->set_value(work(session)); },
                    [answer] { answer->set_value("failed"); });
        if (future.wait_for(patience) != std::future_status::ready) return "never answered";
        return future.get();
    }

    std::string backend(soci::session & session)
    {
        int pid = 0;
        session << "SELECT pg_backend_pid()", soci::into(pid);
        return std::to_string(pid);
    }

    TEST_CASE("a session is kept, and replaced unnoticed when it was lost")
    {
        const Database database;
        QueryPool pool(1, database.url(), pool_name);
        const auto first = run(pool, backend);
        CHECK(run(pool, backend) == first);
        CHECK(database.terminate(pool_name) == 1);
        const auto second = run(pool, backend);
        CHECK(second != "failed");
        CHECK(second != first);
    }

    TEST_CASE("a query that fails is told, and the next one works")
    {
        const Database database;
        QueryPool pool(1, database.url(), pool_name);
        CHECK(run(pool, [](soci::session& session) {
                  session << "SELECT 1 / 0";
                  return std::string("no");
              }) == "failed");
        CHECK(run(pool, backend) != "failed");
    }

    TEST_CASE("a session that does not come back idle is not used again")
    {
        const Database database;
        QueryPool pool(1, database.url(), pool_name);
        const auto first = run(pool, [](soci::session& session) {
            session << "BEGIN";
            session << "CREATE TABLE never ()";
            return backend(session);
        });
        CHECK(run(pool, backend) != first);
        CHECK(database.session().value("SELECT to_regclass('never') IS NULL") == "t");
    }

    TEST_CASE("without a database the work fails, and works again with one")
    {
        const Database database;
        Session admin(cluster());
        admin.execute("ALTER DATABASE " + database.name() + " ALLOW_CONNECTIONS false");
        QueryPool pool(2, database.url(), pool_name);
        CHECK(run(pool, backend) == "failed");
        admin.execute("ALTER DATABASE " + database.name() + " ALLOW_CONNECTIONS true");
        CHECK(run(pool, backend) != "failed");
    }

    TEST_CASE("a full queue refuses at once, and a stop finishes what is queued")
    {
        const Database database;
        QueryPool pool(1, database.url(), pool_name);
        std::promise<void> open;
        const auto gate = open.get_future().share();
        std::promise<void> started;
        pool.submit(
            [gate, &started](soci::session&) {
                started.set_value();
                gate.wait();
            },
            [] {});
        started.get_future().wait();
        std::atomic<int> done = 0;
        std::atomic<int> failed = 0;
        const auto submit = [&] { pool.submit([&](soci::session&) { ++done; }, [&] { ++failed; }); };
        for (std::size_t i = 0; i < QueryPool::tasks_max; ++i) submit();
        CHECK(failed == 0);
        submit();
        CHECK(failed == 1);
        open.set_value();
        pool.stop();
        CHECK(done == static_cast<int>(QueryPool::tasks_max));
        submit();
        CHECK(failed == 2);
    }
}
