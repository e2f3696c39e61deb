#include "api/metrics_handler.hpp"
#include "app/clocks.hpp"
#include "delivering.hpp"

#include <doctest/doctest.h>

#include <future>

// The two gauges that tell an operator whether delivery keeps up.
TEST_SUITE("infra/api/metrics")
{
    using namespace pg_support;

    double gauge(const std::string& text, const std::string& name)
    {
        const auto at = text.find("\n" + name + " ");
        REQUIRE(at != std::string::npos);
        return std::stod(text.substr(at + name.size() + 2));
    }

    std::string shown(infra::pg::QueryPool & pool, infra::Metrics & metrics)
    {
        std::promise<std::string> text;
        infra::api::show_metrics(pool, metrics, [&](infra::http::Response response) {
            text.set_value(response.status == 200 ? response.body : "refused");
        });
        return text.get_future().get();
    }

    TEST_CASE("depth and age of the backlog follow what is sent, shelved and dead")
    {
        const Database database;
        auto session = database.session();
        infra::Metrics metrics;
        infra::pg::QueryPool pool(1, database.url(), "polis test");
        const auto backlog = [&] {
            const auto text = shown(pool, metrics);
            return std::make_pair(gauge(text, "outbox_depth"),
                                  static_cast<int>(gauge(text, "outbox_oldest_unsent_seconds") / 60));
        };
        using Backlog = std::pair<double, int>;  // messages, minutes
        CHECK(backlog() == Backlog{0, 0});

        Seqs seqs;
        for (int i = 0; i < 4; ++i) seqs.push_back(put_message(session, 1, 40 + i));
        const auto elsewhere = put_message(session, 2, 50);
        session.execute(
            "UPDATE outbox SET event_id = uuid7_floor(now() - interval '30 min 30 s') WHERE seq = " +
            std::to_string(seqs[0]));
        session.execute(
            "UPDATE outbox SET event_id = uuid7_floor(now() - interval '10 min 30 s') WHERE seq = " +
            std::to_string(seqs[1]));
        CHECK(backlog() == Backlog{5, 30});

        const auto store = open_store(database);
        store->renew();
        app::LaneSettlement failed{1, 1, {}};
        failed.settlement.acked_seq = seqs[2];
        failed.settlement.shelved = {{seqs[1], 41, 1, {}, "HTTP 503"}};
        failed.settlement.dead = {{seqs[2], 42, 5, {}, "HTTP 404"}};
        CHECK(store->settle({failed}).empty());
        CHECK(backlog() == Backlog{3, 10});  // the shelved one, the rest of its lane, the other lane

        failed.settlement = {};
        failed.settlement.acked_seq = seqs[3];
        failed.settlement.delivered = {seqs[1]};
        CHECK(store->settle({failed}).empty());
        CHECK(backlog() == Backlog{1, 0});
        move_cursors(session, elsewhere, "lane = 2");
        CHECK(backlog() == Backlog{0, 0});
    }

    TEST_CASE("timers that are not due are no backlog, whether or not a worker has seen them")
    {
        const Database database;
        auto session = database.session();
        infra::Metrics metrics;
        infra::pg::QueryPool pool(1, database.url(), "polis test");
        using Backlog = std::pair<double, int>;  // messages, minutes
        const auto backlog = [&] {
            const auto text = shown(pool, metrics);
            return Backlog{gauge(text, "outbox_depth"),
                           static_cast<int>(gauge(text, "outbox_oldest_unsent_seconds") / 60)};
        };
        const auto set = [&](std::int64_t seq, const std::string& assignment) {
            session.execute("UPDATE outbox SET " + assignment + " WHERE seq = " + std::to_string(seq));
        };
        const auto timer = put_message(session, 1, 40);
        const auto message = put_message(session, 1, 41);
        set(timer, "event_id = uuid7_floor(now() - interval '30 min 30 s'), due_at = now() + interval '1 h'");
        set(message, "event_id = uuid7_floor(now() - interval '10 min 30 s')");
        CHECK(backlog() == Backlog{1, 10});  // no worker has seen the timer, and it is the first of its lane

        const auto store = open_store(database);
        store->renew();
        app::LaneSettlement put_away{1, 1, {}};
        put_away.settlement.acked_seq = message;
        put_away.settlement.shelved = {{timer, 40, 0, app::system_now() + std::chrono::hours(1), ""}};
        put_away.settlement.shelved.front().adopted = false;
        CHECK(store->settle({put_away}).empty());
        CHECK(session.rows("SELECT adopted FROM outbox_retries") == Rows{{"f"}});
        CHECK(backlog() == Backlog{0, 0});

        set(timer, "due_at = now() - interval '2 min 30 s'");
        CHECK(backlog() == Backlog{1, 2});  // late since then, not since it was made
    }

    TEST_CASE("without a database the last known backlog is shown")
    {
        const Database database;
        auto session = database.session();
        infra::Metrics metrics;
        infra::pg::QueryPool pool(1, database.url(), "polis test");
        put_message(session, 1, 40);
        CHECK(gauge(shown(pool, metrics), "outbox_depth") == 1);
        put_message(session, 1, 40);
        Session admin(cluster());
        admin.execute("ALTER DATABASE " + database.name() + " ALLOW_CONNECTIONS false");
        CHECK(database.terminate("polis test") == 1);
        CHECK(gauge(shown(pool, metrics), "outbox_depth") == 1);
        admin.execute("ALTER DATABASE " + database.name() + " ALLOW_CONNECTIONS true");
        CHECK(gauge(shown(pool, metrics), "outbox_depth") == 2);
    }
}
