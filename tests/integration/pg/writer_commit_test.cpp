#include "writing.hpp"

#include <algorithm>
#include <atomic>
#include <set>
#include <thread>

// What one transaction of the writer holds, in which order, and how much may wait for it.
TEST_SUITE("infra/pg/event_writer")
{
    using namespace pg_support;
    using app::AppendRefusal;
    using std::chrono::minutes;

    TEST_CASE("what waits while a transaction runs is committed together")
    {
        const Database database;
        HeldFence fence(database);
        Writer writer({.database_url = database.url()});
        auto first = append(writer.log, event("a"));
        fence.wait_for_waiting(1);
        std::vector<Pending> waiting;
        for (int i = 0; i < 40; ++i) waiting.push_back(append(writer.log, event("b")));
        CHECK(writer.log.queued_rows() == 40);
        fence.release();
        stored_one(result_of(first));
        for (auto& pending : waiting) stored_one(result_of(pending));
        CHECK(writer.log.queued_rows() == 0);

        auto session = database.session();
        CHECK(session.rows(
                  "SELECT service, count(DISTINCT xmin::text), count(*) FROM events GROUP BY 1 ORDER BY 1") ==
              Rows{{"a", "1", "1"}, {"b", "1", "40"}});
        CHECK(session.number("SELECT count(DISTINCT xmin::text) FROM events") == 2);
        writer.log.stop();
        CHECK(writer.batches() == std::vector<Writer::Batch>{{1, 1}, {40, 40}});
    }

    TEST_CASE("a transaction ends at its number of rows, and a request is never split")
    {
        const Database database;
        HeldFence fence(database);
        Writer writer({.database_url = database.url(), .batch_rows_max = 10});
        std::vector<Pending> pending;
        pending.push_back(append(writer.log, event("first")));
        fence.wait_for_waiting(1);
        for (int i = 0; i < 12; ++i) pending.push_back(append(writer.log, event("single")));
        pending.push_back(append(writer.log, std::vector<domain::PreparedEvent>(25, event("large"))));
        pending.push_back(append(writer.log, with_message("k")));  // two rows
        fence.release();
        for (auto& one : pending) CHECK_FALSE(result_of(one).refusal.has_value());
        writer.log.stop();
        CHECK(writer.batches() == std::vector<Writer::Batch>{{1, 1}, {10, 10}, {2, 2}, {1, 25}, {1, 1}});
        CHECK(database.session().number(
                  "SELECT count(DISTINCT xmin::text) FROM events WHERE service = 'large'") == 1);
    }

    TEST_CASE("everything that belongs to an event is in one transaction")
    {
        const Database database;
        Writer writer({.database_url = database.url()});
        auto base = event("health", "key-1", R"({"patient_id":7, "note":"ü"})");
        base.patch = R"({"patient_id":null})";
        base.validation_errors = R"([{"field":"f","message":"m"}])";
        base.occurred_at = domain::parse_time("2020-02-29T12:00:00.25Z").value();
        base.publish_base = true;
        base.derived = {derived("notify", "n_7", minutes(5), R"({"n":650.0})"), derived("bus", "b_7"),
                        derived("notify", "n_8", minutes(5))};
        const auto answer = stored_one(append(writer.log, base));
        const auto id = [&](unsigned ordinal) {
            return domain::to_string(domain::family_member(answer.event_id, ordinal));
        };
        CHECK(domain::family_ordinal(answer.event_id) == 0);
        CHECK(answer.derived == std::vector<domain::Uuid>{domain::family_member(answer.event_id, 1),
                                                          domain::family_member(answer.event_id, 2),
                                                          domain::family_member(answer.event_id, 3)});
        CHECK(answer.suppressed.empty());
        CHECK_FALSE(answer.replayed);

        auto session = database.session();
        CHECK(session.rows(
                  "SELECT id, service, payload, patch, deduplication_key, validation_errors, derived_count, "
                  "extract(epoch FROM occurred_at)::text, suppressed FROM events ORDER BY id") ==
              Rows{{id(0), "health", R"({"note": "ü", "patient_id": 7})", R"({"patient_id": null})", "key-1",
                    R"([{"field": "f", "message": "m"}])", "3", "1582977600.250000", "<null>"},
                   {id(1), "notify", R"({"n": 650.0})", "<null>", "n_7", "<null>", "0", "<null>", "<null>"},
                   {id(2), "bus", R"({"d": 1})", "<null>", "b_7", "<null>", "0", "<null>", "<null>"},
                   {id(3), "notify", R"({"d": 1})", "<null>", "n_8", "<null>", "0", "<null>", "<null>"}});
        const auto message = [&](unsigned ordinal, std::string_view key, std::string topic,
                                 std::string payload) {
            const auto hash = domain::ordering_hash(key);
            return Row{id(ordinal), std::to_string(domain::lane_of(hash)), std::to_string(hash),
                       std::move(topic), std::move(payload)};
        };
        const std::string_view own_key(reinterpret_cast<const char*>(answer.event_id.data),
                                       answer.event_id.size());
        CHECK(session.rows("SELECT event_id, lane, key_hash, topic, payload FROM outbox ORDER BY seq") ==
              Rows{message(0, own_key, "event.health", R"({"note": "ü", "patient_id": 7})"),
                   message(1, "n_7", "event.notify", R"({"n": 650.0})"),
                   message(2, "b_7", "event.bus", R"({"d": 1})"),
                   message(3, "n_8", "event.notify", R"({"d": 1})")});
        CHECK(session.rows("SELECT digest, event_id FROM request_keys") ==
              Rows{{domain::to_string(domain::key_digest("health", "key-1")), id(0)}});
        CHECK(session.rows("SELECT digest, event_id FROM derived_keys ORDER BY event_id") ==
              Rows{{domain::to_string(domain::key_digest("notify", "n_7")), id(1)},
                   {domain::to_string(domain::key_digest("notify", "n_8")), id(3)}});
        CHECK(session.rows(
                  "SELECT count(*), count(DISTINCT x) FROM (SELECT xmin::text x FROM events UNION ALL "
                  "SELECT xmin::text FROM outbox UNION ALL SELECT xmin::text FROM request_keys UNION ALL "
                  "SELECT xmin::text FROM derived_keys) t") == Rows{{"11", "1"}});
    }

    TEST_CASE("the answers of a request come in its order, with ids that rise")
    {
        const Database database;
        Writer writer({.database_url = database.url()});
        std::vector<domain::PreparedEvent> events;
        for (int i = 0; i < 300; ++i) events.push_back(event("s" + std::to_string(i)));
        const auto answers = stored(result_of(append(writer.log, events)));
        REQUIRE(answers.size() == 300);
        std::vector<std::string> ids;
        std::vector<std::string> services;
        for (int i = 0; i < 300; ++i) {
            ids.push_back(domain::to_string(answers[static_cast<std::size_t>(i)].event_id));
            services.push_back("s" + std::to_string(i));
        }
        CHECK(std::is_sorted(ids.begin(), ids.end()));
        auto session = database.session();
        CHECK(session.column("SELECT id FROM events ORDER BY id") == ids);
        CHECK(session.column("SELECT service FROM events ORDER BY id") == services);
    }

    TEST_CASE("a request of nothing is answered")
    {
        const Database database;
        Writer writer({.database_url = database.url()});
        const auto result = result_of(append(writer.log, std::vector<domain::PreparedEvent>{}));
        CHECK_FALSE(result.refusal.has_value());
        CHECK(result.events.empty());
    }

    TEST_CASE("a full queue refuses at once and stores nothing of it")
    {
        const Database database;
        HeldFence fence(database);
        Writer writer({.database_url = database.url(), .queue_rows_max = 5, .queue_bytes_max = 1000});
        auto first = append(writer.log, event("kept"));
        fence.wait_for_waiting(1);
        std::vector<Pending> kept;
        SUBCASE("by rows")
        {
            for (int i = 0; i < 3; ++i) kept.push_back(append(writer.log, event("kept")));
            auto three = append(writer.log, std::vector<domain::PreparedEvent>(3, event("refused")));
            REQUIRE(three.wait_for(std::chrono::seconds(0)) == std::future_status::ready);
            CHECK(three.get().refusal == AppendRefusal::queue_full);
            kept.push_back(append(writer.log, std::vector<domain::PreparedEvent>(2, event("kept"))));
            CHECK(refusal_of(append(writer.log, event("refused"))) == AppendRefusal::queue_full);
            CHECK(writer.log.queued_rows() == 5);
        }
        SUBCASE("by bytes")
        {
            const std::string payload = R"({"a":")" + std::string(600, 'x') + R"("})";
            kept.push_back(append(writer.log, event("kept", "", payload)));
            CHECK(refusal_of(append(writer.log, event("refused", "", payload))) == AppendRefusal::queue_full);
            kept.push_back(append(writer.log, event("kept")));
        }
        SUBCASE("but what alone is larger than the queue passes through an empty one")
        {
            kept.push_back(append(writer.log, std::vector<domain::PreparedEvent>(50, event("kept"))));
            CHECK(refusal_of(append(writer.log, event("refused"))) == AppendRefusal::queue_full);
        }
        fence.release();
        CHECK_FALSE(result_of(first).refusal.has_value());
        long events = 1;
        for (auto& pending : kept) events += static_cast<long>(stored(result_of(pending)).size());
        CHECK(database.session().rows("SELECT service, count(*) FROM events GROUP BY 1") ==
              Rows{{"kept", std::to_string(events)}});
        CHECK_FALSE(refusal_of(append(writer.log, event("after"))).has_value());  // there is room again
    }

    TEST_CASE("a stop commits what is queued and refuses what comes later")
    {
        const Database database;
        HeldFence fence(database);
        Writer writer({.database_url = database.url(), .batch_rows_max = 7});
        std::vector<Pending> pending;
        pending.push_back(append(writer.log, event("kept")));
        fence.wait_for_waiting(1);
        for (int i = 0; i < 20; ++i) pending.push_back(append(writer.log, event("kept")));
        std::thread stopping([&] { writer.log.stop(); });
        long late_stored = 0;
        std::optional<AppendRefusal> refused;
        eventually("the writer refuses", [&] {
            auto late = append(writer.log, event("late"));
            if (late.wait_for(std::chrono::seconds(0)) != std::future_status::ready) {
                pending.push_back(std::move(late));  // it was faster than the stop
                ++late_stored;
                return false;
            }
            refused = late.get().refusal;
            return true;
        });
        CHECK(refused == AppendRefusal::stopping);
        fence.release();
        stopping.join();
        for (auto& one : pending) stored_one(result_of(one));
        CHECK(database.session().number("SELECT count(*) FROM events") == 21 + late_stored);
        CHECK(refusal_of(append(writer.log, event("late"))) == AppendRefusal::stopping);
        writer.log.stop();
    }

    TEST_CASE("ids and messages of several writers rise in the order of their commits")
    {
        const Database database;
        constexpr int writers = 4;
        constexpr int appends = 60;
        // What a reader saw once must stay the beginning of what it sees later.
        std::atomic<bool> done = false;
        bool grew_at_the_end_only = true;
        std::thread reader([&] {
            auto session = database.session();
            std::vector<std::string> seen;
            while (!done) {
                const auto now = session.column("SELECT event_id FROM outbox ORDER BY seq");
                if (now.size() < seen.size() || !std::equal(seen.begin(), seen.end(), now.begin()))
                    grew_at_the_end_only = false;
                seen = now;
            }
        });
        {
            std::vector<std::unique_ptr<Writer>> logs;
            for (int i = 0; i < writers; ++i)
                logs.push_back(
                    std::make_unique<Writer>(infra::pg::EventWriterOptions{.database_url = database.url()}));
            std::vector<Pending> pending;
            for (int i = 0; i < appends; ++i) {
                for (auto& writer : logs) pending.push_back(append(writer->log, with_message("k")));
                if (i % 10 == 9) {
                    for (auto& one : pending) result_of(one);
                    pending.clear();
                }
            }
            for (auto& one : pending) result_of(one);
        }
        done = true;
        reader.join();
        CHECK(grew_at_the_end_only);
        auto session = database.session();
        const auto by_seq = session.rows("SELECT event_id, xmin::text FROM outbox ORDER BY seq");
        REQUIRE(by_seq.size() == writers * appends);
        CHECK(std::is_sorted(by_seq.begin(), by_seq.end(),
                             [](const Row& a, const Row& b) { return a[0] < b[0]; }));
        std::set<std::string> ended;  // no transaction has rows on both sides of another one's
        std::string current;
        for (const auto& row : by_seq) {
            if (row[1] == current) continue;
            ended.insert(current);
            CHECK_FALSE(ended.contains(row[1]));
            current = row[1];
        }
        CHECK(ended.size() > 4);
    }
}
