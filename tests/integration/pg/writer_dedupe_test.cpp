#include "writing.hpp"

#include <map>
#include <thread>

// Request keys and derived keys, decided under the fence and kept in the event's transaction.
TEST_SUITE("infra/pg/event_writer")
{
    using namespace pg_support;
    using std::chrono::milliseconds;
    using std::chrono::minutes;

    domain::IngestAnswer first_form(domain::IngestAnswer answer)
    {
        answer.replayed = false;
        return answer;
    }

    Rows everything(Session & session)
    {
        return session.rows(
            "SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM outbox), (SELECT count(*) FROM "
            "request_keys), "
            "(SELECT count(*) FROM derived_keys), (SELECT max(xmin::text::bigint) FROM request_keys)");
    }

    TEST_CASE("a repeat gets the first answer, whatever its body, and writes nothing")
    {
        const Database database;
        Writer writer({.database_url = database.url()});
        auto original = event("health", "key");
        original.validation_errors = R"([{"field":"f","message":"m"}])";
        original.derived = {derived("bus", "b_1", minutes(5)), derived("notify", "n_1")};
        const auto first = stored_one(append(writer.log, original));
        CHECK_FALSE(first.replayed);
        auto session = database.session();
        const auto before = everything(session);

        auto repeat = event("health", "key", R"({"another":"body"})");
        repeat.derived = {derived("else", "e_1")};
        const auto second = stored_one(append(writer.log, repeat));
        CHECK(second.replayed);
        CHECK(second.event_id == first.event_id);
        CHECK(second.derived == first.derived);
        CHECK(second.suppressed.empty());
        // jsonb has its own blanks.
        CHECK(second.validation_errors == R"([{"field": "f", "message": "m"}])");
        CHECK(everything(session) == before);

        const auto other_service = stored_one(append(writer.log, event("energy", "key")));
        CHECK_FALSE(other_service.replayed);
        CHECK(other_service.event_id != first.event_id);
        const auto other_key = stored_one(append(writer.log, event("health", "KEY")));
        CHECK_FALSE(other_key.replayed);
    }

    TEST_CASE("repeats are found by index, although the tables were small when that was planned")
    {
        const Database database;
        auto session = database.session();
        {
            Writer writer({.database_url = database.url()});
            const auto number = [](int n) { return event("health", "key " + std::to_string(n)); };
            // After five times PostgreSQL settles for a plan.
            for (int n = 0; n < 10; ++n) stored_one(append(writer.log, number(n)));
            for (int n = 10; n < 3000; n += 10) {
                std::vector<domain::PreparedEvent> ten;
                for (int i = 0; i < 10; ++i) ten.push_back(number(n + i));
                stored(result_of(append(writer.log, std::move(ten))));
            }
            for (int n = 0; n < 3000; n += 100) CHECK(stored_one(append(writer.log, number(n))).replayed);
        }
        eventually("the writer's connection has ended", [&] {
            return session.number(
                       "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                       "AND application_name = '" +
                       std::string(writer_name) + "'") == 0;
        });
        CHECK(session.number("SELECT coalesce(sum(seq_tup_read), 0) FROM pg_stat_user_tables "
                             "WHERE relname ~ '^(request_keys|events_)'") < 1000);
    }

    TEST_CASE("repeats within one transaction meet the first of their key")
    {
        const Database database;
        HeldFence fence(database);
        Writer writer({.database_url = database.url()});
        auto opener = append(writer.log, event("opener"));
        fence.wait_for_waiting(1);
        std::vector<Pending> pending;
        for (int i = 0; i < 10; ++i)
            pending.push_back(append(writer.log, event("s", "same", R"({"n":)" + std::to_string(i) + "}")));
        auto batch =
            append(writer.log, {event("s", "same"), event("s"), event("s", "new"), event("s", "new")});
        fence.release();
        stored_one(result_of(opener));
        const auto first = stored_one(result_of(pending.front()));
        CHECK_FALSE(first.replayed);
        for (std::size_t i = 1; i < pending.size(); ++i) {
            const auto answer = stored_one(result_of(pending[i]));
            CHECK(answer.replayed);
            CHECK(first_form(answer) == first);
        }
        const auto answers = stored(result_of(batch));
        REQUIRE(answers.size() == 4);
        CHECK(first_form(answers[0]) == first);
        CHECK(answers[0].replayed);
        CHECK_FALSE(answers[1].replayed);
        CHECK_FALSE(answers[2].replayed);
        CHECK(answers[3].replayed);
        CHECK(first_form(answers[3]) == answers[2]);
        auto session = database.session();
        CHECK(session.rows("SELECT payload, xmin::text = (SELECT xmin::text FROM request_keys ORDER BY "
                           "event_id LIMIT 1) "
                           "FROM events WHERE deduplication_key = 'same'") == Rows{{R"({"n": 0})", "t"}});
        CHECK(session.number("SELECT count(*) FROM events") == 4);
        CHECK(session.number("SELECT count(*) FROM request_keys") == 2);
    }

    TEST_CASE("of concurrent repeats over two writers one is stored, and all have its answer")
    {
        const Database database;
        constexpr int keys = 25;
        constexpr int senders = 4;  // two on each writer
        Writer one({.database_url = database.url()});
        Writer two({.database_url = database.url()});
        std::vector<std::vector<domain::IngestAnswer>> answers(senders);
        std::vector<std::thread> threads;
        for (int sender = 0; sender < senders; ++sender) {
            threads.emplace_back([&, sender] {
                auto& log = sender % 2 == 0 ? one.log : two.log;
                for (int key = 0; key < keys; ++key) {
                    auto repeat = event("s", "k" + std::to_string(key));
                    repeat.derived = {derived("bus", "b" + std::to_string(key))};
                    auto result = result_of(append(log, std::move(repeat)));
                    if (!result.refusal)
                        answers[static_cast<std::size_t>(sender)].push_back(*result.events.at(0));
                }
            });
        }
        for (auto& thread : threads) thread.join();
        for (int key = 0; key < keys; ++key) {
            int originals = 0;
            for (const auto& of_sender : answers) {
                REQUIRE(of_sender.size() == keys);
                const auto& answer = of_sender[static_cast<std::size_t>(key)];
                originals += answer.replayed ? 0 : 1;
                CHECK(first_form(answer) == first_form(answers[0][static_cast<std::size_t>(key)]));
            }
            CHECK(originals == 1);
        }
        auto session = database.session();
        CHECK(session.number("SELECT count(*) FROM events") == 2 * keys);
        CHECK(session.number("SELECT count(*) FROM outbox") == keys);
        CHECK(session.number("SELECT count(*) FROM request_keys") == keys);
    }

    TEST_CASE("a key whose event is gone is taken over")
    {
        const Database database;
        Writer writer({.database_url = database.url()});
        const auto first = stored_one(append(writer.log, event("s", "key")));
        auto session = database.session();
        session.execute("DELETE FROM events");  // as dropping its partition would
        const auto second = stored_one(append(writer.log, event("s", "key")));
        CHECK_FALSE(second.replayed);
        CHECK(second.event_id != first.event_id);
        CHECK(session.column("SELECT event_id FROM request_keys") ==
              std::vector<std::string>{domain::to_string(second.event_id)});
        CHECK(stored_one(append(writer.log, event("s", "key"))).event_id == second.event_id);
    }

    domain::PreparedEvent emergency(milliseconds window, std::string key = "")
    {
        auto base = event("health", std::move(key));
        base.derived = {derived("notify", "n_1", window), derived("bus", "always"),
                        derived("bus", "b_1", window)};
        return base;
    }

    TEST_CASE("a derived key suppresses within its window and names the event that was there")
    {
        const Database database;
        Writer writer({.database_url = database.url()});
        const auto first = stored_one(append(writer.log, emergency(minutes(5))));
        const auto second = stored_one(append(writer.log, emergency(minutes(5), "request")));
        CHECK(second.derived == std::vector<domain::Uuid>{first.derived[0],
                                                          domain::family_member(second.event_id, 2),
                                                          first.derived[2]});
        CHECK(second.suppressed == std::vector<domain::Uuid>{first.derived[0], first.derived[2]});

        auto session = database.session();
        const auto id = [](const domain::Uuid& uuid) { return domain::to_string(uuid); };
        CHECK(session.column("SELECT event_id FROM outbox ORDER BY seq") ==
              std::vector<std::string>{id(first.derived[0]), id(first.derived[1]), id(first.derived[2]),
                                       id(second.derived[1])});
        CHECK(session.rows("SELECT derived_count, suppressed FROM events WHERE id = '" + id(second.event_id) +
                           "'") ==
              Rows{{"3", "{" + id(first.derived[0]) + ",NULL," + id(first.derived[2]) + "}"}});
        CHECK(session.number("SELECT count(*) FROM events") == 6);
        // The repeat of a request tells the same of its suppressed events.
        const auto repeated = stored_one(append(writer.log, emergency(minutes(5), "request")));
        CHECK(repeated.replayed);
        CHECK(first_form(repeated) == second);
    }

    TEST_CASE("equal derived keys within one transaction suppress each other")
    {
        const Database database;
        Writer writer({.database_url = database.url()});
        auto twice = emergency(minutes(5));
        twice.derived.push_back(twice.derived.front());
        const auto answers = stored(result_of(append(writer.log, {twice, emergency(minutes(5))})));
        REQUIRE(answers.size() == 2);
        CHECK(answers[0].derived[3] == answers[0].derived[0]);
        CHECK(answers[0].suppressed == std::vector<domain::Uuid>{answers[0].derived[0]});
        CHECK(answers[1].suppressed ==
              std::vector<domain::Uuid>{answers[0].derived[0], answers[0].derived[2]});
        CHECK(database.session().number("SELECT count(*) FROM outbox") == 4);
    }

    TEST_CASE("after its window a derived key belongs to the new event")
    {
        const Database database;
        Writer writer({.database_url = database.url()});
        stored_one(append(writer.log, emergency(minutes(5))));
        auto session = database.session();
        const auto age = [&](const std::string& interval) {
            session.execute("UPDATE derived_keys SET event_id = uuid7_floor(now() - interval '" + interval +
                            "')");
        };
        age("299 s");
        CHECK(stored_one(append(writer.log, emergency(minutes(5)))).suppressed.size() == 2);
        age("301 s");
        const auto fresh = stored_one(append(writer.log, emergency(minutes(5))));
        CHECK(fresh.suppressed.empty());
        CHECK(session.column("SELECT event_id FROM derived_keys ORDER BY 1") ==
              std::vector<std::string>{domain::to_string(fresh.derived[0]),
                                       domain::to_string(fresh.derived[2])});
    }

    TEST_CASE("without a window nothing is suppressed and no key is kept")
    {
        const Database database;
        Writer writer({.database_url = database.url()});
        for (int i = 0; i < 2; ++i) CHECK(stored_one(append(writer.log, emergency({}))).suppressed.empty());
        auto session = database.session();
        CHECK(session.number("SELECT count(*) FROM derived_keys") == 0);
        CHECK(session.number("SELECT count(*) FROM outbox") == 6);
    }
}
