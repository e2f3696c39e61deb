#include "delivering.hpp"
#include "writing.hpp"

// The view outbox_messages: one row a message and subscription, with the status that clients know.
TEST_SUITE("infra/pg/outbox_messages")
{
    using namespace pg_support;

    constexpr std::int16_t lane = 1;
    const domain::TimePoint later = domain::parse_time("2030-01-02T03:04:05Z").value();

    std::string status_sql(const std::string& more = "")
    {
        return "SELECT seq, status, attempts, published_at IS NOT NULL, last_error" + more +
               " FROM outbox_messages ORDER BY seq, subscription";
    }

    Row row_of(std::int64_t seq, std::string status, std::string attempts, std::string published,
               std::string error)
    {
        return {std::to_string(seq), std::move(status), std::move(attempts), std::move(published),
                std::move(error)};
    }

    TEST_CASE("every state of a message has its status")
    {
        const Database database;
        auto session = database.session();
        Seqs seqs;
        for (int i = 0; i < 7; ++i) seqs.push_back(put_message(session, lane, 40 + i, i));
        const auto elsewhere = put_message(session, 2, 1);
        Rows pending;
        for (const auto seq : seqs) pending.push_back(row_of(seq, "pending", "0", "f", "<null>"));
        pending.push_back(row_of(elsewhere, "pending", "0", "f", "<null>"));
        CHECK(session.rows(status_sql()) == pending);

        const auto store = open_store(database);
        store->renew();
        app::LaneSettlement first{lane, 1, {}};
        first.settlement.acked_seq = seqs[4];
        first.settlement.cursor_moved = true;
        first.settlement.shelved = {{seqs[1], 41, 2, later, "HTTP 503"},
                                    {seqs[2], 41, 0, {}, {}},
                                    {seqs[3], 43, 1, later, "timeout"}};
        first.settlement.dead = {{seqs[4], 44, 5, {}, "HTTP 404"}};
        CHECK(store->settle({first}).empty());
        auto second = first;
        second.settlement = {};
        second.settlement.acked_seq = seqs[4];
        second.settlement.delivered = {seqs[3]};
        CHECK(store->settle({second}).empty());
        CHECK(session.rows(status_sql()) == Rows{row_of(seqs[0], "sent", "0", "t", "<null>"),
                                                 row_of(seqs[1], "pending", "2", "f", "HTTP 503"),
                                                 row_of(seqs[2], "pending", "0", "f", "<null>"),
                                                 row_of(seqs[3], "sent", "1", "t", "timeout"),
                                                 row_of(seqs[4], "failed", "5", "f", "HTTP 404"),
                                                 row_of(seqs[5], "pending", "0", "f", "<null>"),
                                                 row_of(seqs[6], "pending", "0", "f", "<null>"),
                                                 row_of(elsewhere, "pending", "0", "f", "<null>")});
    }

    TEST_CASE("published_at is when the cursor first passed the message")
    {
        const Database database;
        auto session = database.session();
        Seqs seqs;
        for (int i = 0; i < 4; ++i) seqs.push_back(put_message(session, lane, 40));
        const auto at = [&](std::int64_t seq, const std::string& time) {
            session.execute("INSERT INTO lane_progress VALUES (1, 1, " + std::to_string(seq) + ", '" + time +
                            "')");
        };
        at(seqs[1], "2026-01-01 00:00:01Z");
        at(seqs[2], "2026-01-01 00:00:02Z");
        at(seqs[3] + 10, "2026-01-01 00:00:03Z");
        move_cursors(session, seqs[3] + 10, "lane = 1");
        session.execute("INSERT INTO lane_progress VALUES (1, 2, " + std::to_string(seqs[0]) +
                        ", '2020-01-01Z')");
        CHECK(session.column(
                  "SELECT extract(second FROM published_at)::int FROM outbox_messages ORDER BY seq") ==
              std::vector<std::string>{"1", "1", "2", "3"});
    }

    TEST_CASE("a message has one row for each subscription that takes its topic")
    {
        const Database database;
        auto session = database.session();
        session.execute("SELECT add_subscription('exact', '{event.bus,event.else}')");
        session.execute("SELECT add_subscription('prefix', '{event.b*}')");
        session.execute("SELECT add_subscription('others', '{event.bu,event.bus.more,*.bus,event.c*}')");
        session.execute("SELECT add_subscription('nothing', '{}')");
        const auto seq = put_message(session, lane, 40);
        CHECK(session.column("SELECT subscription FROM outbox_messages ORDER BY 1") ==
              std::vector<std::string>{"default", "exact", "prefix"});
        CHECK(session.number("SELECT count(DISTINCT id) FROM outbox_messages") == 3);
        const auto ids = session.column("SELECT id FROM outbox_messages ORDER BY subscription");
        move_cursors(session, seq, "subscription_id = (SELECT id FROM subscriptions WHERE name = 'prefix')");
        CHECK(session.column("SELECT status FROM outbox_messages ORDER BY subscription") ==
              std::vector<std::string>{"pending", "pending", "sent"});
        CHECK(session.column("SELECT id FROM outbox_messages ORDER BY subscription") == ids);
    }

    TEST_CASE("a message of the writer shows its event from the moment of the commit")
    {
        const Database database;
        Writer writer({.database_url = database.url()});
        const auto answer = stored_one(append(writer.log, with_message("k", R"({"n":1.50})")));
        CHECK(
            database.session().rows(
                "SELECT event_id, topic, payload, status, attempts, published_at, subscription, last_error, "
                "created_at = uuid7_time(event_id), created_at > now() - interval '1 min' FROM "
                "outbox_messages") ==
            Rows{{domain::to_string(answer.derived.at(0)), "event.bus", R"({"n": 1.50})", "pending", "0",
                  "<null>", "default", "<null>", "t", "t"}});
    }

    TEST_CASE("how many messages wait, and for how long, can be told from the view")
    {
        const Database database;
        auto session = database.session();
        const std::string backlog =
            "SELECT count(*), coalesce(round(extract(epoch FROM now() - min(created_at)) / 60), 0) FROM "
            "outbox_messages WHERE status = 'pending'";
        CHECK(session.rows(backlog) == Rows{{"0", "0"}});
        const auto old = put_message(session, lane, 40);
        session.execute("UPDATE outbox SET event_id = uuid7_floor(now() - interval '30 min')");
        put_message(session, lane, 41);
        CHECK(session.rows(backlog) == Rows{{"2", "30"}});
        move_cursors(session, old);
        CHECK(session.rows(backlog) == Rows{{"1", "0"}});
    }
}
