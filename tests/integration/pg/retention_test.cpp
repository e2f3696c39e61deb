#include "infra/pg/retention.hpp"

#include "delivering.hpp"
#include "writing.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <thread>

// What the retention removes from a real database, and what stops it. The decision itself has a table of
// cases in unit/domain/retention_test.cpp.
TEST_SUITE("infra/pg/retention")
{
    using namespace pg_support;
    using infra::pg::Retention;
    using infra::pg::RetentionReport;
    using Names = std::vector<std::string>;
    using namespace std::chrono_literals;

    namespace {

    constexpr auto day = std::chrono::hours(24);

    domain::TimePoint now()
    {
        return std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now());
    }

    RetentionReport look(const Database& database, const domain::RetentionPolicy& policy,
                         std::optional<domain::TimePoint> at = std::nullopt)
    {
        return Retention(database.url(), policy).run([] { return false; }, at);
    }

    constexpr domain::RetentionPolicy outbox_for_a_week{.outbox = 7 * day};

    // The outbox goes on in its next partition.
    void begin_next_partition(Session& session)
    {
        session.execute(
            "SELECT setval('outbox_seq', (last_value / 5000000 + 1) * 5000000 - 1) FROM outbox_seq");
        session.execute("SELECT ensure_outbox_partitions()");
    }

    // As after a delivery of everything.
    void deliver_all(Session& session)
    {
        move_cursors(session, session.number("SELECT last_value FROM outbox_seq"));
    }

    }  // namespace

    TEST_CASE("a drained partition goes when its time is over, with what told of its messages")
    {
        const Database database;
        auto session = database.session();
        const auto first = put_message(session, 3, 30);
        put_message(session, 4, 40);
        session.execute("INSERT INTO lane_progress (subscription_id, lane, acked_seq) VALUES (1, 3, " +
                        std::to_string(first) + "), (1, 4, 2)");
        session.execute(
            "INSERT INTO outbox_retries (subscription_id, lane, seq, key_hash, attempts, next_at, "
            "delivered_at) "
            "VALUES (1, 3, " +
            std::to_string(first) + ", 30, 1, now(), now())");
        begin_next_partition(session);
        const auto young = put_message(session, 3, 31);
        session.execute("INSERT INTO lane_progress (subscription_id, lane, acked_seq) VALUES (1, 3, " +
                        std::to_string(young) + ")");
        deliver_all(session);
        session.execute("UPDATE outbox SET event_id = uuid7_floor(now() + interval '1 day') WHERE seq = " +
                        std::to_string(young));

        CHECK(look(database, outbox_for_a_week, now() + 6 * day).dropped.empty());
        const auto report = look(database, outbox_for_a_week, now() + 7 * day + 1h);
        CHECK(report.dropped == Names{"outbox_0"});
        CHECK(report.busy.empty());
        CHECK(report.blocked.empty());
        CHECK(report.deleted.at("lane_progress") == 2);
        CHECK(report.deleted.at("outbox_retries") == 1);
        CHECK(session.column("SELECT seq FROM outbox") == Names{std::to_string(young)});
        CHECK(session.number("SELECT count(*) FROM lane_progress") == domain::lane_count);  // the cursors
        CHECK(session.column("SELECT seq FROM outbox_messages") == Names{std::to_string(young)});
    }

    TEST_CASE("what a subscription has not delivered stays, whatever its age")
    {
        const Database database;
        auto session = database.session();
        const auto seq = put_message(session, 3, 30);
        begin_next_partition(session);
        deliver_all(session);
        std::string who;
        SUBCASE("one that lags")
        {
            session.execute("SELECT add_subscription('slow', '{*}', '{}', NULL, 'api', true, false)");
            who = "slow";
        }
        SUBCASE("one that is switched off")
        {
            session.execute("SELECT add_subscription('off', '{*}', '{}', NULL, 'api', true, true)");
            who = "off";
        }
        SUBCASE("one that waits to try again")
        {
            session.execute(
                "INSERT INTO outbox_retries (subscription_id, lane, seq, key_hash, attempts, next_at) VALUES "
                "(1, 3, " +
                std::to_string(seq) + ", 30, 1, now())");
            who = "default";
        }
        const auto at = now() + 100 * day;
        const auto report = look(database, outbox_for_a_week, at);
        CHECK(report.dropped.empty());
        REQUIRE(report.blocked.size() == 1);
        CHECK(report.blocked[0].name == "outbox_0");
        CHECK(report.blocked[0].subscription == who);
        CHECK(session.number("SELECT count(*) FROM outbox") == 1);

        deliver_all(session);
        session.execute("UPDATE outbox_retries SET delivered_at = now()");
        CHECK(look(database, outbox_for_a_week, at).dropped == Names{"outbox_0"});
    }

    TEST_CASE("somebody who reads makes it give way, and it tries again")
    {
        const Database database;
        auto session = database.session();
        put_message(session, 3, 30);
        begin_next_partition(session);
        deliver_all(session);
        session.execute("SELECT ensure_event_partitions(0)");
        session.execute(
            "CREATE TABLE events_20200101 PARTITION OF events FOR VALUES FROM "
            "(uuid7_floor('2020-01-01Z')) TO (uuid7_floor('2020-01-02Z'))");
        const domain::RetentionPolicy policy{.events = 30 * day, .outbox = 7 * day};
        const auto at = now() + 10 * day;
        {
            auto reader = database.session();
            reader.execute("BEGIN");
            reader.rows("SELECT count(*) FROM outbox");
            reader.rows("SELECT count(*) FROM events");
            const auto report = look(database, policy, at);
            CHECK(report.dropped.empty());
            CHECK(report.busy == Names{"events_20200101", "outbox_0"});
            // Nobody is left waiting behind it.
            CHECK(put_message(session, 3, 31) > 0);
            deliver_all(session);
        }
        const auto report = look(database, policy, at);
        CHECK(report.busy.empty());
        CHECK(report.dropped == Names{"events_20200101", "outbox_0"});
    }

    TEST_CASE("days of events go with their keys, and a repeated request is a new one then")
    {
        const Database database;
        auto session = database.session();
        Writer writer({.database_url = database.url()});
        const auto young = stored_one(append(writer.log, event("s", "young")));
        session.execute(
            "CREATE TABLE events_20200101 PARTITION OF events FOR VALUES FROM "
            "(uuid7_floor('2020-01-01Z')) TO (uuid7_floor('2020-01-02Z'))");
        const auto digest = [](const char* key) { return domain::to_string(domain::key_digest("s", key)); };
        session.execute(
            "INSERT INTO events (id, derived_count, service, payload) VALUES "
            "(uuid7_floor('2020-01-01 10:00Z'), 0, 's', '{}')");
        session.execute("INSERT INTO request_keys VALUES ('" + digest("old") +
                        "', uuid7_floor('2020-01-01 10:00Z'))");
        session.execute("INSERT INTO derived_keys VALUES ('" + digest("derived") +
                        "', uuid7_floor('2020-01-01 10:00Z'))");

        CHECK(look(database, {}).dropped.empty());  // for ever
        const domain::RetentionPolicy policy{.events = 30 * day};
        const auto report = look(database, policy);
        CHECK(report.dropped == Names{"events_20200101"});
        CHECK(report.deleted.at("request_keys") == 1);
        CHECK(session.number("SELECT count(*) FROM request_keys") == 1);
        CHECK(session.number("SELECT count(*) FROM derived_keys") == 0);
        CHECK(look(database, policy).deleted.empty());
        CHECK_FALSE(stored_one(append(writer.log, event("s", "old"))).replayed);
        CHECK(stored_one(append(writer.log, event("s", "young"))).event_id == young.event_id);
    }

    TEST_CASE("events outlive their messages")
    {
        const Database database;
        auto session = database.session();
        session.execute(
            "CREATE TABLE events_20200101 PARTITION OF events FOR VALUES FROM "
            "(uuid7_floor('2020-01-01Z')) TO (uuid7_floor('2020-01-02Z'))");
        session.execute(
            "INSERT INTO outbox (key_hash, event_id, lane, topic, payload) "
            "VALUES (1, uuid7_floor('2020-01-01 10:00Z'), 3, 'event.bus', '{}')");
        const domain::RetentionPolicy policy{.events = 30 * day};
        REQUIRE(look(database, policy).blocked.size() == 1);
        deliver_all(session);
        CHECK(look(database, policy).dropped == Names{"events_20200101"});
    }

    TEST_CASE("a key that is removed while a request takes it over is kept for that request")
    {
        const Database database;
        auto session = database.session();
        session.execute("INSERT INTO request_keys VALUES ('" +
                        domain::to_string(domain::key_digest("s", "key")) +
                        "', uuid7_floor('2020-01-01 10:00Z'))");
        Writer writer({.database_url = database.url()});
        auto remover = database.session();
        remover.execute("BEGIN");
        remover.execute("DELETE FROM request_keys");
        auto taking = append(writer.log, event("s", "key"));
        eventually("the writer waits for the row", [&] {
            return session.number(
                       "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'") > 0;
        });
        remover.execute("COMMIT");
        const auto answer = stored_one(result_of(taking));
        CHECK_FALSE(answer.replayed);
        CHECK(stored_one(append(writer.log, event("s", "key"))).event_id == answer.event_id);
        CHECK(session.number("SELECT count(*) FROM request_keys") == 1);
    }

    TEST_CASE("dead letters and quarantine have a time of their own")
    {
        const Database database;
        auto session = database.session();
        for (int i = 0; i < 4; ++i) put_message(session, 3, 30 + i);
        session.execute(
            "INSERT INTO dead_letters (subscription_id, lane, seq, key_hash, event_id, topic, payload, "
            "attempts, "
            "last_error, died_at, replayed_at) "
            "SELECT 1, 3, seq, key_hash, event_id, topic, payload, 1, 'HTTP 400', now() - interval '100 "
            "days', "
            "CASE WHEN seq = 2 THEN now() - interval '99 days' END FROM outbox");
        session.execute("UPDATE dead_letters SET died_at = now() WHERE seq = 1");
        session.execute(
            "INSERT INTO outbox_retries (subscription_id, lane, seq, key_hash, attempts, next_at) "
            "VALUES (1, 3, 2, 31, 0, now())");
        move_cursors(session, 3);
        session.execute(
            "INSERT INTO quarantine (id, service, body, errors, created_at) SELECT uuid7_floor(at), 's', '', "
            "'[]', at "
            "FROM (VALUES (now()), (now() - interval '100 days')) t(at)");

        CHECK(look(database, {}).deleted.empty());
        const domain::RetentionPolicy policy{.dead_letters = 90 * day, .quarantine = 90 * day};
        const auto report = look(database, policy);
        CHECK(report.deleted.at("quarantine") == 1);
        CHECK(session.number("SELECT count(*) FROM quarantine") == 1);
        CHECK(report.deleted.at("dead_letters") == 1);
        // The young one, the one that is on the shelf again, and the one that a cursor has still to pass.
        CHECK(session.column("SELECT seq FROM dead_letters ORDER BY 1") == Names{"1", "2", "4"});
        session.execute("UPDATE outbox_retries SET delivered_at = now()");
        move_cursors(session, 4);
        CHECK(look(database, policy).deleted.at("dead_letters") == 2);
    }

    TEST_CASE("an outbox with little traffic begins a new partition, and nothing is lost over the gap")
    {
        const Database database;
        auto session = database.session();
        Writer writer({.database_url = database.url()});
        stored_one(append(writer.log, with_message("a")));
        CHECK_FALSE(look(database, outbox_for_a_week, now() + 42h - 1min).outbox_began_anew);
        CHECK(look(database, outbox_for_a_week, now() + 42h).outbox_began_anew);
        CHECK_FALSE(look(database, outbox_for_a_week, now() + 42h).outbox_began_anew);  // it is empty
        stored_one(append(writer.log, with_message("b")));
        CHECK(session.column("SELECT seq FROM outbox ORDER BY 1") == Names{"1", "5000000"});
        const auto store = open_store(database);
        std::vector<app::LaneRead> reads;
        for (const auto& lane : store->renew().acquired) reads.push_back({lane.lane, lane.acked_seq, 10});
        CHECK(store->read(reads).size() == 2);
    }

    TEST_CASE("a look reads the ends of the lanes and not the messages")
    {
        const Database database;
        auto session = database.session();
        session.execute(
            "INSERT INTO outbox (key_hash, event_id, lane, topic, payload) "
            "SELECT n, uuid7_floor(now()), n % 16, 'event.x', '{}' FROM generate_series(1, 20000) n");
        session.execute("VACUUM ANALYZE outbox");
        deliver_all(session);
        const auto rows_read = [&] {
            eventually("its connection has ended", [&] {
                return session.number(
                           "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND "
                           "application_name = 'polis retention'") == 0;
            });
            session.execute("SELECT pg_stat_clear_snapshot()");
            return session.number(
                "SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) FROM pg_stat_user_tables "
                "WHERE relname LIKE 'outbox\\_%'");
        };
        const auto before = rows_read();
        CHECK(look(database, outbox_for_a_week).dropped.empty());
        CHECK(rows_read() - before < 1000);
    }

    TEST_CASE("one process at a time")
    {
        const Database database;
        auto other = database.session();
        other.execute("SELECT pg_advisory_lock(7003)");
        CHECK(look(database, outbox_for_a_week).elsewhere);
        other.execute("SELECT pg_advisory_unlock(7003)");
        for (int i = 0; i < 100; ++i) REQUIRE_FALSE(look(database, outbox_for_a_week).elsewhere);
    }

    TEST_CASE("under writing, delivering and new subscribers nothing that is needed goes")
    {
        const Database database;
        auto session = database.session();
        std::atomic<bool> stop = false;
        std::atomic<int> written = 0;
        std::thread writing([&] {
            Writer writer({.database_url = database.url()});
            while (!stop) {
                stored_one(append(writer.log, with_message("k" + std::to_string(written % 50))));
                ++written;
            }
        });
        // Everything that is behind the cursors is over at once, and a partition holds only what is written
        // meanwhile.
        constexpr domain::RetentionPolicy at_once{.outbox = 1ms};
        std::size_t dropped = 0;
        std::int64_t delivered = 0;
        const auto store = open_store(database, infra::pg::LaneShare::everything);
        auto lanes = store->renew().acquired;
        const auto deadline = std::chrono::steady_clock::now() + patience;
        for (int round = 0; (dropped < 5 || written < 200) && std::chrono::steady_clock::now() < deadline;
             ++round) {
            std::vector<app::LaneRead> reads;
            for (const auto& lane : lanes) reads.push_back({lane.lane, lane.acked_seq, 100});
            std::map<std::int16_t, std::int64_t> last;
            for (const auto& message : store->read(reads)) {
                last[message.lane] = message.seq;
                ++delivered;
            }
            std::vector<app::LaneSettlement> settlements;
            for (auto& lane : lanes) {
                if (!last.contains(lane.lane)) continue;
                lane.acked_seq = last[lane.lane];
                settlements.push_back({lane.lane, lane.epoch, {}});
                settlements.back().settlement.acked_seq = lane.acked_seq;
            }
            if (!settlements.empty()) CHECK(store->settle(settlements).empty());
            dropped += look(database, at_once).dropped.size();
        }
        stop = true;
        writing.join();
        CHECK(dropped >= 5);
        delivered += session.number(
            "SELECT count(*) FROM outbox o JOIN lane_cursors c USING (lane) WHERE o.seq > c.acked_seq");
        CHECK(delivered == written);
    }
}
