#include "delivering.hpp"
#include "pg/connection.hpp"
#include "pg/event_queries.hpp"
#include "pg/quarantine_queries.hpp"
#include "writing.hpp"

#include <boost/json.hpp>

// How one event looks, with its derived events and their deliveries, and the quarantine.
TEST_SUITE("infra/pg/event_queries")
{
    using namespace pg_support;
    using infra::pg::read_event;
    namespace json = boost::json;

    std::unique_ptr<soci::session> query_session(const Database& database)
    {
        return infra::pg::connect(database.url(), {"polis-api queries"});
    }

    std::string text(const domain::Uuid& id) { return domain::to_string(id); }

    TEST_CASE("an event is shown with every member and the digits of its numbers")
    {
        const Database database;
        Writer writer({.database_url = database.url()});
        auto base =
            event("health", "key \"1\"", R"({"n":1.50,"big":9007199254740993,"t":"\u00fc\n","z":null})");
        base.patch = R"({"n":2,"more":null})";
        base.validation_errors = R"([{"field":"f","message":"m"}])";
        base.occurred_at = domain::parse_time("2020-02-29T12:00:00.25Z");
        const auto answer = stored_one(append(writer.log, base));
        const auto sql = query_session(database);
        const auto created = domain::format_time(domain::id_time(answer.event_id));
        CHECK(
            *read_event(*sql, answer.event_id) ==
            R"({"id":")" + text(answer.event_id) +
                R"(","service":"health","timestamp":"2020-02-29T12:00:00.25Z",)"
                R"("payload":{"n": 1.50, "t": "ü\n", "z": null, "big": 9007199254740993},)"
                R"("normalized_payload":{"n": 2, "t": "ü\n", "z": null, "big": 9007199254740993, "more": null},)"
                R"("deduplication_key":"key \"1\"","source_event_id":null,"created_at":")" +
                created +
                R"(","validation_errors":[{"field": "f", "message": "m"}],"derived_events":[],"deliveries":[]})");

        const auto plain = stored_one(append(writer.log, event("s")));
        const auto stored_at = domain::format_time(domain::id_time(plain.event_id));
        CHECK(infra::pg::read_events(*sql, {.service = "s"}).json ==
              R"([{"id":")" + text(plain.event_id) + R"(","service":"s","timestamp":")" + stored_at +
                  R"(","payload":{"a": 1},"normalized_payload":{"a": 1},"deduplication_key":null,)"
                  R"("source_event_id":null,"created_at":")" +
                  stored_at + R"("}])");
    }

    TEST_CASE("an event is shown with its derived events and where their messages are")
    {
        const Database database;
        Writer writer({.database_url = database.url()});
        stored_one(append(writer.log, with_message("other")));  // not of this family
        auto base = event("health");
        base.derived = {derived("notify", "n", std::chrono::minutes(5), R"({"x":1})"), derived("bus", "b")};
        const auto answer = stored_one(append(writer.log, base));
        auto session = database.session();
        const auto store = open_store(database);
        store->renew();
        const auto place = session
                               .rows("SELECT lane, seq, key_hash FROM outbox WHERE event_id = '" +
                                     text(answer.derived[0]) + "'")
                               .at(0);
        app::LaneSettlement dead{static_cast<std::int16_t>(std::stoi(place[0])), 1, {}};
        dead.settlement.acked_seq = std::stoll(place[1]);
        dead.settlement.dead = {{std::stoll(place[1]), std::stoll(place[2]), 5, {}, "HTTP 404 \"gone\""}};
        CHECK(store->settle({dead}).empty());
        const auto sent_lane =
            session.value("SELECT lane FROM outbox WHERE event_id = '" + text(answer.derived[1]) + "'");
        session.execute("INSERT INTO lane_progress VALUES (1, " + sent_lane +
                        ", 1000, '2026-01-02 03:04:05.678901Z')");

        const auto sql = query_session(database);
        const auto shown = json::parse(*read_event(*sql, answer.event_id)).as_object();
        const auto& derived_events = shown.at("derived_events").as_array();
        REQUIRE(derived_events.size() == 2);
        CHECK(derived_events[0].at("id").as_string() == text(answer.derived[0]));
        CHECK(derived_events[0].at("service").as_string() == "notify");
        CHECK(derived_events[0].at("payload") == json::parse(R"({"x":1})"));
        CHECK(derived_events[0].at("normalized_payload").is_null());
        CHECK(derived_events[0].at("deduplication_key").as_string() == "n");
        CHECK(derived_events[0].at("source_event_id").as_string() == text(answer.event_id));
        CHECK(derived_events[1].at("id").as_string() == text(answer.derived[1]));
        const auto& deliveries = shown.at("deliveries").as_array();
        REQUIRE(deliveries.size() == 2);
        const auto& failed = deliveries[0].as_object();
        CHECK(failed.at("event_id").as_string() == text(answer.derived[0]));
        CHECK(failed.at("topic").as_string() == "event.notify");
        CHECK(failed.at("subscription").as_string() == "default");
        CHECK(failed.at("status").as_string() == "failed");
        CHECK(failed.at("attempts").as_int64() == 5);
        CHECK(failed.at("published_at").is_null());
        CHECK(failed.at("last_error").as_string() == "HTTP 404 \"gone\"");
        CHECK(failed.at("created_at").as_string() == domain::format_time(domain::id_time(answer.event_id)));
        const auto& sent = deliveries[1].as_object();
        CHECK(sent.at("event_id").as_string() == text(answer.derived[1]));
        CHECK(sent.at("status").as_string() == "sent");
        CHECK(sent.at("published_at").as_string() == "2026-01-02T03:04:05.678901Z");
        CHECK(sent.at("last_error").is_null());

        // A derived event is shown alone, with its own delivery.
        const auto alone = json::parse(*read_event(*sql, answer.derived[1])).as_object();
        CHECK(alone.at("derived_events").as_array().empty());
        REQUIRE(alone.at("deliveries").as_array().size() == 1);
        CHECK(alone.at("deliveries").as_array()[0] == deliveries[1]);
    }

    TEST_CASE("an unknown id is nothing, also within a family")
    {
        const Database database;
        Writer writer({.database_url = database.url()});
        const auto answer = stored_one(append(writer.log, with_message("k")));
        const auto sql = query_session(database);
        CHECK(read_event(*sql, answer.event_id).has_value());
        CHECK(read_event(*sql, answer.derived[0]).has_value());
        CHECK_FALSE(read_event(*sql, domain::family_member(answer.event_id, 2)).has_value());
        auto other = answer.event_id;
        other.data[14] ^= 1;
        CHECK_FALSE(read_event(*sql, other).has_value());
        CHECK_FALSE(read_event(*sql, domain::Uuid{}).has_value());
    }

    TEST_CASE("a refused event is kept with what came beside its payload")
    {
        const Database database;
        const auto sql = query_session(database);
        const app::Envelope envelope{
            "key", domain::parse_time("2026-01-02T03:04:05.678901Z"), {"parent", "state"}};
        const auto ids = infra::pg::keep_in_quarantine(
            *sql, "s", {{"{\"n\":1}", "[]", envelope}, {"{\"n\":2}", "[]", {}}});
        REQUIRE(ids.size() == 2);
        const auto kept = infra::pg::read_quarantined(*sql, ids[0].value());
        REQUIRE(kept.has_value());
        CHECK(kept->body == "{\"n\":1}");
        CHECK(kept->envelope.request_key == "key");
        CHECK(kept->envelope.occurred_at == envelope.occurred_at);
        CHECK(kept->envelope.trace == envelope.trace);
        const auto bare = infra::pg::read_quarantined(*sql, ids[1].value());
        REQUIRE(bare.has_value());
        CHECK(bare->envelope.request_key.empty());
        CHECK_FALSE(bare->envelope.occurred_at.has_value());
        CHECK(bare->envelope.trace == domain::TraceContext{});
    }

    TEST_CASE("a refused body is kept as it came, up to a number of them")
    {
        const Database database;
        const auto sql = query_session(database);
        auto session = database.session();
        const std::string body = "{\"a\": \"\\\\ :b ü' \\u0041\"}";
        const infra::pg::RefusedEvent refused{body, R"([{"field":"a","message":"m"}])", {}};
        const auto ids = infra::pg::keep_in_quarantine(*sql, "health", {refused});
        REQUIRE(ids.size() == 1);
        REQUIRE(ids[0].has_value());
        CHECK(session.rows(
                  "SELECT id, service, convert_from(body, 'UTF8'), errors, created_at > now() - interval "
                  "'1 min' FROM quarantine") ==
              Rows{{text(*ids[0]), "health", body, R"([{"field": "a", "message": "m"}])", "t"}});
        session.execute(
            "INSERT INTO quarantine SELECT gen_random_uuid(), 's', '', '[]' FROM generate_series(1, 99998)");
        const auto last = infra::pg::keep_in_quarantine(*sql, "health", {refused, refused, refused});
        REQUIRE(last.size() == 3);
        CHECK(last[0].has_value());
        CHECK_FALSE(last[1].has_value());
        CHECK_FALSE(last[2].has_value());
        CHECK_FALSE(infra::pg::keep_in_quarantine(*sql, "health", {refused})[0].has_value());
        CHECK(session.number("SELECT count(*) FROM quarantine") == 100'000);
    }
}
