#include "app/ingest.hpp"
#include "writing.hpp"

#include <boost/json.hpp>

// Turns of workflows in the writer's transaction.
TEST_SUITE("infra/pg/workflows")
{
    using namespace pg_support;
    using domain::workflow::Event;
    using domain::workflow::Incoming;
    using domain::workflow::Turn;
    using namespace std::chrono_literals;

    // Counts what it hears, and tells of each.
    void count(Turn & turn, const Event& event)
    {
        if (std::holds_alternative<domain::workflow::Overdue>(event.what)) return turn.end("late");
        if (std::get<Incoming>(event.what).service == "idle") return turn.ignore("idle");
        auto& heard = turn.state.data["heard"];
        heard = heard.is_int64() ? heard.get_int64() + 1 : 1;
        turn.proceed("counting");
        turn.begin("more", 1h);
        turn.publish("heard", "k", {{"n", heard}});
    }

    domain::workflow::Registry counting()
    {
        domain::workflow::Registry registry;
        registry.add({.name = "w",
                      .listens = {{"tick", domain::workflow::id_member("id"), true},
                                  {"idle", domain::workflow::id_member("id")}},
                      .decide = count});
        return registry;
    }

    domain::PreparedEvent tick(const std::string& id, const std::string& service = "tick",
                               const std::string& key = "")
    {
        auto prepared = event(service, key);
        prepared.triggers.push_back({{"w", id}, Incoming{service, {}}, service == "tick"});
        return prepared;
    }

    TEST_CASE("event, state, history and messages are one transaction")
    {
        const Database database;
        const auto registry = counting();
        Writer writer({.database_url = database.url(), .workflows = &registry});
        const auto answer = stored_one(append(writer.log, tick("1")));
        auto session = database.session();
        CHECK(session.number(
                  "SELECT count(DISTINCT x) FROM (SELECT xmin::text x FROM events UNION ALL SELECT "
                  "xmin::text FROM workflow_instances UNION ALL SELECT xmin::text FROM workflow_history "
                  "UNION ALL SELECT xmin::text FROM outbox) t") == 1);
        CHECK(
            session.rows("SELECT workflow, id, version, status, ended, error, data, transitions, first_event "
                         "FROM workflow_instances") ==
            Rows{{"w", "1", "1", "counting", "f", "<null>", R"({"heard": 1})", "1",
                  domain::to_string(answer.event_id)}});
        CHECK(session.rows("SELECT topic, ordering_key, payload, due_at IS NULL, event_id > '" +
                           domain::to_string(answer.event_id) + "' FROM outbox ORDER BY seq") ==
              Rows{{"heard", "k", R"({"n": 1})", "t", "t"},
                   {"$workflow", session.value("SELECT ordering_key FROM outbox WHERE topic = '$workflow'"),
                    session.value("SELECT payload FROM outbox WHERE topic = '$workflow'"), "f", "t"}});
        CHECK(session.rows("SELECT step, status, retries FROM workflow_steps") ==
              Rows{{"more", "pending", "0"}});
        CHECK(session.rows("SELECT subscription, topic FROM outbox_messages") == Rows{{"default", "heard"}});
    }

    TEST_CASE("writers of several processes take the turns of one instance one after the other")
    {
        constexpr int writers = 4;
        constexpr int events_each = 50;
        const Database database;
        const auto registry = counting();
        std::vector<std::thread> threads;
        for (int w = 0; w < writers; ++w) {
            threads.emplace_back([&] {
                Writer writer({.database_url = database.url(), .workflows = &registry});
                std::vector<Pending> pending;
                for (int i = 0; i < events_each; ++i)
                    pending.push_back(append(writer.log, tick(i % 5 == 0 ? "2" : "1")));
                for (auto& one : pending) static_cast<void>(result_of(one));
            });
        }
        for (auto& thread : threads) thread.join();
        auto session = database.session();
        CHECK(session.rows("SELECT id, data->>'heard', transitions FROM workflow_instances ORDER BY 1") ==
              Rows{{"1", "160", "160"}, {"2", "40", "40"}});
        CHECK(session.rows("SELECT id, count(*), min(number), max(number) FROM workflow_history GROUP BY 1 "
                           "ORDER BY 1") == Rows{{"1", "160", "1", "160"}, {"2", "40", "1", "40"}});
        CHECK(session.number(
                  "SELECT count(DISTINCT (event_id, payload)) FROM outbox WHERE topic = 'heard'") == 200);
        // One timer for each, whatever the number of steps begun.
        CHECK(session.number("SELECT count(*) FROM outbox WHERE topic = '$workflow'") == 2);
    }

    TEST_CASE("repeats and what is ignored take no turn")
    {
        const Database database;
        const auto registry = counting();
        Writer writer({.database_url = database.url(), .workflows = &registry});
        stored_one(append(writer.log, tick("1", "idle")));
        stored_one(append(writer.log, tick("1", "tick", "key")));
        CHECK(stored_one(append(writer.log, tick("1", "tick", "key"))).replayed);
        stored_one(append(writer.log, tick("1", "idle")));
        stored_one(append(writer.log,
                          app::self_event({{"w", "1"}, domain::workflow::Reply{"more", 7, 0, nullptr, {}}})));
        auto session = database.session();
        CHECK(session.rows("SELECT data->>'heard', transitions FROM workflow_instances") == Rows{{"1", "1"}});
        CHECK(session.column("SELECT service FROM events ORDER BY id") ==
              std::vector<std::string>{"idle", "tick", "idle"});
    }

    TEST_CASE("a poison event in the batch makes no turn happen twice")
    {
        const Database database;
        const auto registry = counting();
        HeldFence fence(database);
        Writer writer({.database_url = database.url(), .workflows = &registry});
        std::vector<Pending> pending;
        pending.push_back(append(writer.log, event("opener")));
        fence.wait_for_waiting(1);
        for (int i = 0; i < 5; ++i) pending.push_back(append(writer.log, tick("1")));
        auto bad = tick("1");
        bad.payload = R"({"a":"\u0000"})";
        auto refused = append(writer.log, std::move(bad));
        for (int i = 0; i < 5; ++i) pending.push_back(append(writer.log, tick("1")));
        fence.release();
        for (auto& one : pending) stored_one(result_of(one));
        CHECK_FALSE(result_of(refused).events.at(0).has_value());
        auto session = database.session();
        CHECK(session.value("SELECT data->>'heard' FROM workflow_instances") == "10");
        CHECK(session.number("SELECT count(*) FROM outbox WHERE topic = 'heard'") == 10);
    }
}
