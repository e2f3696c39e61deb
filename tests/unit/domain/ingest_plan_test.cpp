#include "domain/ingest.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

TEST_SUITE("domain/ingest")
{
    using domain::IngestAnswer;
    using domain::KnownKeys;
    using domain::PreparedDerived;
    using domain::PreparedEvent;
    using domain::TimePoint;
    using domain::Uuid;
    using namespace std::chrono_literals;
    using Ids = std::vector<Uuid>;
    using Suppressed = std::vector<std::optional<Uuid>>;

    namespace {

    constexpr TimePoint now = std::chrono::sys_days{std::chrono::year{2026} / 11 / 21} + 4h;

    // The n-th base id of a batch at `now`, with zeros for randomness.
    Uuid base_id(unsigned n) { return domain::family_id(domain::id_tick_at(now) + n - 1, 0); }
    Uuid member(unsigned n, unsigned ordinal) { return domain::family_member(base_id(n), ordinal); }
    Uuid id_before(std::chrono::milliseconds age)
    {
        return domain::family_member(domain::family_id(domain::id_tick_at(now - age), 0x5EED), 1);
    }

    domain::IngestPlan plan(const std::vector<PreparedEvent>& events, KnownKeys known = {})
    {
        std::vector<const PreparedEvent*> batch;
        for (const auto& event : events) batch.push_back(&event);
        domain::FamilyIds ids(now, std::nullopt, [] { return std::uint64_t{0}; });
        return domain::plan_ingest(batch, std::move(known), ids);
    }

    PreparedEvent event_of(std::string service, std::string request_key = {})
    {
        PreparedEvent event;
        event.service = std::move(service);
        event.payload = R"({"x":1.50})";
        event.request_digest = domain::key_digest(event.service, request_key);
        event.request_key = std::move(request_key);
        return event;
    }

    PreparedDerived derived_of(std::string service, std::string key, std::chrono::milliseconds window)
    {
        const Uuid digest = domain::key_digest(service, key);
        return {std::move(service), R"({"a":1})", std::move(key), digest, window};
    }

    PreparedEvent emergency(std::string patient, std::chrono::milliseconds window,
                            std::string request_key = {})
    {
        auto event = event_of("health", std::move(request_key));
        const std::string key = "health_emergency_" + patient;
        event.derived = {derived_of("transport", key, window), derived_of("security", key, window)};
        return event;
    }

    }  // namespace

    TEST_CASE("a new event becomes one row, and every derived event a row and a message")
    {
        auto event = emergency("7", 300s, "req-1");
        event.patch = R"({"patient_id":7})";
        event.validation_errors = "[]";
        event.occurred_at = now - 1h;
        const std::vector<PreparedEvent> events = {event};
        const auto result = plan(events);

        REQUIRE(result.events.size() == 3);
        const auto& base = result.events[0];
        CHECK(base.id == base_id(1));
        CHECK(base.service == "health");
        CHECK(base.payload == R"({"x":1.50})");
        CHECK(base.patch == R"({"patient_id":7})");
        CHECK(base.key == "req-1");
        CHECK(base.validation_errors == "[]");
        CHECK(base.occurred_at == now - 1h);
        CHECK(base.derived_count == 2);
        CHECK(base.suppressed.empty());
        const std::string services[] = {"transport", "security"};
        for (unsigned i = 0; i < 2; ++i) {
            const auto& row = result.events[i + 1];
            CAPTURE(i);
            CHECK(row.id == member(1, i + 1));
            CHECK(row.service == services[i]);
            CHECK(row.payload == R"({"a":1})");
            CHECK(row.patch.empty());
            CHECK(row.key == "health_emergency_7");
            CHECK(row.validation_errors.empty());
            CHECK_FALSE(row.occurred_at.has_value());
            CHECK(row.derived_count == 0);
            CHECK(row.suppressed.empty());
        }

        REQUIRE(result.request_keys.size() == 1);
        CHECK(result.request_keys[0].digest == domain::key_digest("health", "req-1"));
        CHECK(result.request_keys[0].event_id == base_id(1));
        REQUIRE(result.derived_keys.size() == 2);
        CHECK(result.derived_keys[0].digest == domain::key_digest("transport", "health_emergency_7"));
        CHECK(result.derived_keys[0].event_id == member(1, 1));
        CHECK(result.derived_keys[1].digest == domain::key_digest("security", "health_emergency_7"));
        CHECK(result.derived_keys[1].event_id == member(1, 2));

        REQUIRE(result.outbox.size() == 2);
        const auto hash = domain::ordering_hash("health_emergency_7");
        for (unsigned i = 0; i < 2; ++i) {
            const auto& message = result.outbox[i];
            CAPTURE(i);
            CHECK(message.topic == "event." + services[i]);
            CHECK(message.event_id == member(1, i + 1));
            CHECK(message.payload == R"({"a":1})");
            CHECK(message.key_hash == hash);
            CHECK(message.lane == domain::lane_of(hash));
        }

        REQUIRE(result.answers.size() == 1);
        CHECK(result.answers[0] == IngestAnswer{base_id(1), {member(1, 1), member(1, 2)}, {}, "[]", false});
    }

    TEST_CASE("an event without key and rule leaves one row and nothing else")
    {
        const std::vector<PreparedEvent> events = {event_of("parking")};
        const auto result = plan(events);
        CHECK(result.events.size() == 1);
        CHECK(result.request_keys.empty());
        CHECK(result.derived_keys.empty());
        CHECK(result.outbox.empty());
        REQUIRE(result.answers.size() == 1);
        CHECK(result.answers[0] == IngestAnswer{base_id(1), {}, {}, "", false});
    }

    TEST_CASE("a published base event is a message that is ordered by its own id")
    {
        auto event = emergency("7", 0s);
        event.publish_base = true;
        const std::vector<PreparedEvent> events = {event};
        const auto result = plan(events);
        REQUIRE(result.outbox.size() == 3);
        const Uuid id = base_id(1);
        const std::string bytes(id.begin(), id.end());
        CHECK(result.outbox[0].topic == "event.health");
        CHECK(result.outbox[0].event_id == id);
        CHECK(result.outbox[0].payload == R"({"x":1.50})");
        CHECK(result.outbox[0].key_hash == domain::ordering_hash(bytes));
        CHECK(result.outbox[0].lane == domain::lane_of(domain::ordering_hash(bytes)));
        CHECK(result.outbox[1].topic == "event.transport");
    }

    TEST_CASE("the trace goes with the base event and with every message that follows from it")
    {
        const domain::TraceContext trace{"parent", "state"};
        auto event = event_of("health");
        event.derived = {derived_of("transport", "k", 1s), derived_of("security", "k", 1s)};
        event.publish_base = true;
        event.trace = trace;
        const std::vector<PreparedEvent> events{event};
        const auto made = plan(events);
        REQUIRE(made.events.size() == 3);
        REQUIRE(made.events[0].trace != nullptr);
        CHECK(*made.events[0].trace == trace);
        CHECK(made.events[1].trace == nullptr);
        REQUIRE(made.outbox.size() == 3);
        for (const auto& message : made.outbox) {
            REQUIRE(message.trace != nullptr);
            CHECK(*message.trace == trace);
        }
    }

    TEST_CASE("a repeat of an earlier request answers as the first time and writes nothing")
    {
        const IngestAnswer first{id_before(1h), {id_before(2h)}, {id_before(2h)}, "[1]", false};
        KnownKeys known;
        known.requests.emplace(domain::key_digest("health", "req-1"), first);
        // Another service and another key are other requests.
        const std::vector<PreparedEvent> events = {emergency("7", 300s, "req-1"), event_of("energy", "req-1"),
                                                   event_of("health", "req-2"), event_of("health")};
        const auto result = plan(events, known);
        auto replayed = first;
        replayed.replayed = true;
        REQUIRE(result.answers.size() == 4);
        CHECK(result.answers[0] == replayed);
        for (unsigned i = 1; i < 4; ++i) {
            CAPTURE(i);
            CHECK(result.answers[i] == IngestAnswer{base_id(i), {}, {}, "", false});
        }
        CHECK(result.events.size() == 3);
        CHECK(result.request_keys.size() == 2);
        CHECK(result.derived_keys.empty());
        CHECK(result.outbox.empty());
    }

    TEST_CASE("a repeat in the same batch meets the first of its key")
    {
        auto changed = event_of("health", "req-1");
        changed.payload = R"({"other":true})";
        const std::vector<PreparedEvent> events = {emergency("7", 300s, "req-1"), changed,
                                                   emergency("8", 300s, "req-1")};
        const auto result = plan(events);
        REQUIRE(result.answers.size() == 3);
        CHECK_FALSE(result.answers[0].replayed);
        for (unsigned i = 1; i < 3; ++i) {
            CHECK(result.answers[i].replayed);
            CHECK(result.answers[i].event_id == base_id(1));
            CHECK(result.answers[i].derived == result.answers[0].derived);
        }
        CHECK(result.events.size() == 3);
        CHECK(result.request_keys.size() == 1);
        CHECK(result.outbox.size() == 2);
    }

    TEST_CASE("a derived key suppresses within its window, and only its own service")
    {
        struct Row {
            const char* name;
            std::chrono::milliseconds age;
            std::chrono::milliseconds window;
            bool suppressed;
        };
        const Row rows[] = {
            {"just now", 0ms, 300s, true},
            {"the last millisecond", 299'999ms, 300s, true},
            {"exactly the window", 300s, 300s, false},
            {"later", 301s, 300s, false},
            {"a clock that went back", -10s, 300s, true},
            {"no window", 0ms, 0s, false},
        };
        for (const Row& row : rows) {
            const std::string name = row.name;
            CAPTURE(name);
            const Uuid before = id_before(row.age);
            KnownKeys known;
            known.derived.emplace(domain::key_digest("security", "health_emergency_7"), before);
            const std::vector<PreparedEvent> events = {emergency("7", row.window)};
            const auto result = plan(events, known);
            REQUIRE(result.answers.size() == 1);
            const Uuid second = row.suppressed ? before : member(1, 2);
            CHECK(result.answers[0].derived == Ids{member(1, 1), second});
            CHECK(result.answers[0].suppressed == (row.suppressed ? Ids{before} : Ids{}));
            CHECK(result.events.size() == (row.suppressed ? 2U : 3U));
            CHECK(result.outbox.size() == (row.suppressed ? 1U : 2U));
            CHECK(result.events[0].derived_count == 2);
            CHECK(result.events[0].suppressed ==
                  (row.suppressed ? Suppressed{std::nullopt, before} : Suppressed{}));
            const bool keeps_keys = row.window > 0s;
            CHECK(result.derived_keys.size() == (!keeps_keys ? 0U : row.suppressed ? 1U : 2U));
        }
    }

    TEST_CASE("a derived key suppresses inside its own batch, too")
    {
        const std::vector<PreparedEvent> events = {emergency("7", 300s), emergency("8", 300s),
                                                   emergency("7", 300s), emergency("7", 0s)};
        const auto result = plan(events);
        REQUIRE(result.answers.size() == 4);
        CHECK(result.answers[0].derived == Ids{member(1, 1), member(1, 2)});
        CHECK(result.answers[1].derived == Ids{member(2, 1), member(2, 2)});
        CHECK(result.answers[2].event_id == base_id(3));
        CHECK(result.answers[2].derived == Ids{member(1, 1), member(1, 2)});
        CHECK(result.answers[2].suppressed == Ids{member(1, 1), member(1, 2)});
        CHECK(result.answers[3].derived == Ids{member(4, 1), member(4, 2)});
        CHECK(result.answers[3].suppressed.empty());
        CHECK(result.events.size() == 4 + 2 + 2 + 2);
        CHECK(result.outbox.size() == 6);
        CHECK(result.derived_keys.size() == 4);
    }

    TEST_CASE("after its window a key belongs to the new event, for the rest of the batch as well")
    {
        KnownKeys known;
        known.derived.emplace(domain::key_digest("transport", "health_emergency_7"), id_before(1h));
        const std::vector<PreparedEvent> events = {emergency("7", 300s), emergency("7", 300s)};
        const auto result = plan(events, known);
        CHECK(result.answers.at(0).suppressed.empty());
        CHECK(result.answers.at(1).suppressed == Ids{member(1, 1), member(1, 2)});
        REQUIRE(result.derived_keys.size() == 2);
        CHECK(result.derived_keys[0].event_id == member(1, 1));
        CHECK(result.derived_keys[0].takes_over);
        CHECK_FALSE(result.derived_keys[1].takes_over);
    }

    TEST_CASE("a request key whose event is no longer kept is taken over, once")
    {
        KnownKeys known;
        known.orphans.insert(domain::key_digest("health", "req-1"));
        const std::vector<PreparedEvent> events = {event_of("health", "req-1"), event_of("health", "req-2"),
                                                   event_of("health", "req-1")};
        const auto result = plan(events, known);
        REQUIRE(result.request_keys.size() == 2);
        CHECK(result.request_keys[0].takes_over);
        CHECK_FALSE(result.request_keys[1].takes_over);
        CHECK(result.answers.at(2).replayed);
    }

    TEST_CASE("the first answer is rebuilt from what is stored with the base event")
    {
        const Uuid base = base_id(1);
        const Uuid there = id_before(10s);
        const Suppressed second = {std::nullopt, there};
        CHECK(domain::first_answer(base, 0, {}, "") == IngestAnswer{base, {}, {}, "", false});
        CHECK(domain::first_answer(base, 2, {}, "[1]") ==
              IngestAnswer{base, {member(1, 1), member(1, 2)}, {}, "[1]", false});
        CHECK(domain::first_answer(base, 2, second, "") ==
              IngestAnswer{base, {member(1, 1), there}, {there}, "", false});
    }

    TEST_CASE("the size of a prepared event counts what is written")
    {
        auto event = emergency("7", 0s, "req-1");
        event.patch = "{}";
        event.validation_errors = "[]";
        CHECK(event.rows() == 3);
        // Payload 10, patch 2, errors 2, key 5; a derived payload goes to the event and to the outbox.
        CHECK(event.bytes() == 10 + 2 + 2 + 5 + 2 * (2 * 7 + 18));
        CHECK(event_of("x").rows() == 1);
    }
}
