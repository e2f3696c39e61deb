#include "domain/ingest.hpp"
#include "unit/domain/workflow/play.hpp"

#include <doctest/doctest.h>

#include <stdexcept>

using namespace workflow_play;
using workflow::Event;
using workflow::Turn;

namespace {

workflow::Definition counting(std::function<void(Turn&, const Event&)> decide, std::uint32_t version = 1)
{
    return {.name = "w",
            .version = version,
            .listens = {{"go", workflow::id_member("id"), true}, {"on", workflow::id_member("id")}},
            .decide = std::move(decide)};
}

struct Engine : Play {
    explicit Engine(std::function<void(Turn&, const Event&)> decide) : Play(registry, {"w", "1"})
    {
        registry.add(counting(std::move(decide)));
    }
    std::vector<std::string> go() { return hear("go", R"({"id":1})"); }
    std::vector<std::string> on() { return hear("on", R"({"id":1})"); }

    workflow::Registry registry;
};

void begin_a(Turn& turn, const Event&) { turn.begin("a", 10s); }

}  // namespace

TEST_SUITE("domain/workflow/engine")
{
    TEST_CASE("only an event that starts makes an instance")
    {
        Engine engine(begin_a);
        engine.on();
        CHECK(!engine.exists());
        engine.go();
        CHECK(engine.instance().transitions == 1);
        engine.on();
        CHECK(engine.instance().transitions == 2);
        CHECK(engine.history.back().number == 2);
        CHECK(engine.history.back().event == "on");
    }

    TEST_CASE("an event that is ignored leaves nothing behind")
    {
        Engine engine([](Turn& turn, const Event& event) {
            begin_a(turn, event);
            turn.publish("t", "k", {});
            if (turn.state.steps.front().attempts > 1) turn.ignore("again");
        });
        engine.go();
        const auto before = engine.instance().transitions;
        CHECK(engine.on().empty());
        CHECK(!engine.changed);
        CHECK(engine.instance().transitions == before);
        CHECK(engine.state().steps.front().attempts == 1);
    }

    TEST_CASE("a workflow that waits for nothing ends failed, so none hangs")
    {
        Engine engine([](Turn&, const Event&) {});
        engine.go();
        CHECK(engine.state().ended);
        CHECK(engine.state().error == "the workflow waits for nothing");
    }

    TEST_CASE("what is pending when a workflow ends is skipped")
    {
        Engine engine([](Turn& turn, const Event& event) {
            begin_a(turn, event);
            turn.end("completed");
        });
        engine.go();
        CHECK(engine.step("a") == "skipped");
        CHECK(engine.timers.empty());
    }

    TEST_CASE("a definition that throws ends its workflow and nothing else")
    {
        Engine engine([](Turn& turn, const Event& event) {
            if (!turn.state.steps.empty()) throw std::runtime_error("secret");
            begin_a(turn, event);
        });
        engine.go();
        engine.on();
        CHECK(engine.state().ended);
        CHECK(engine.state().error == "the workflow's definition cannot handle this event");
    }

    TEST_CASE("limits end a workflow with an error that names them")
    {
        struct Row {
            const char* error;
            std::function<void(Turn&, const Event&)> decide;
        };
        const std::vector<Row> rows{
            {"more than 1000 steps",
             [](Turn& turn, const Event&) {
                 for (int i = 0; i <= 1000; ++i) turn.begin(std::to_string(i), 1s);
             }},
            {"more than 2000 messages in one turn",
             [](Turn& turn, const Event&) {
                 turn.begin("a", 1s);
                 for (int i = 0; i <= 2000; ++i) turn.publish("t", {}, {});
             }},
            {"a state of more than 1 MiB",
             [](Turn& turn, const Event&) {
                 turn.begin("a", 1s);
                 turn.state.data["x"] = std::string(std::size_t{1} << 20U, 'x');
             }},
        };
        for (const auto& row : rows) {
            Engine engine(row.decide);
            CHECK(engine.go().empty());
            CHECK(engine.state().ended);
            CHECK(engine.state().error == row.error);
            CHECK(engine.state().steps.empty());
        }
        Engine engine(begin_a);
        engine.go();
        engine.instance().transitions = workflow::transitions_max;
        engine.on();
        CHECK(engine.state().error == "more than 10000 transitions");
    }

    TEST_CASE("one timer serves all deadlines, and is set again when it was early")
    {
        Engine engine([](Turn& turn, const Event& event) {
            if (!std::holds_alternative<workflow::Overdue>(event.what)) return begin_a(turn, event);
            turn.end("late");
        });
        engine.go();
        REQUIRE(engine.timers.size() == 1);
        CHECK(engine.timers[0].topic == workflow::self_topic);
        engine.now += 5s;
        engine.on();
        CHECK(engine.timers.size() == 1);
        engine.now += 6s;
        const workflow::Wake first{*engine.timers[0].due_at};
        engine.apply(first);
        REQUIRE(engine.timers.size() == 2);
        CHECK(!engine.state().ended);
        engine.apply(first);
        CHECK(!engine.changed);
        CHECK(engine.timers.size() == 2);
        engine.now += 5s;
        engine.apply(workflow::Wake{*engine.timers[1].due_at});
        CHECK(engine.state().status == "late");
        CHECK(engine.step("a") == "failed");
    }

    TEST_CASE("a timer of a clock that is ahead of ours counts")
    {
        Engine engine([](Turn& turn, const Event& event) {
            if (!std::holds_alternative<workflow::Overdue>(event.what)) return begin_a(turn, event);
            turn.end("late");
        });
        engine.go();
        engine.now += 9s;
        engine.apply(workflow::Wake{*engine.timers[0].due_at});
        CHECK(engine.state().status == "late");
    }

    TEST_CASE("an instance stays with the version that it began with")
    {
        workflow::Registry both;
        both.add(counting([](Turn& turn, const Event& event) {
            begin_a(turn, event);
            turn.proceed("one");
        }));
        Play play(both, {"w", "1"});
        play.hear("go", R"({"id":1})");
        both.add(counting(
            [](Turn& turn, const Event& event) {
                begin_a(turn, event);
                turn.proceed("two");
            },
            2));
        play.hear("go", R"({"id":1})");
        CHECK(play.state().status == "one");
        Play other(both, {"w", "2"});
        other.hear("go", R"({"id":2})");
        CHECK(other.state().status == "two");
        CHECK(other.instance().version == 2);
    }

    TEST_CASE("an event for a version that is not known here comes back later")
    {
        Engine engine(begin_a);
        engine.go();
        engine.timers.clear();
        engine.instance().version = 9;
        engine.on();
        CHECK(engine.changed);
        REQUIRE(engine.timers.size() == 1);
        const auto again = workflow::parse_trigger(engine.timers[0].payload);
        CHECK(again.instance.id == "1");
        CHECK(std::get<workflow::Incoming>(again.what).service == "on");
        CHECK(*engine.timers[0].due_at > engine.now);
        engine.instance().version = 1;
        engine.apply(again);
        CHECK(engine.instance().transitions == 2);
    }

    TEST_CASE("every event survives the way through the outbox")
    {
        const std::vector<workflow::What> events{
            workflow::Incoming{"go", {{"id", 1}}}, workflow::Reply{"s", 2, 404, json::array{1, 2}, "error"},
            workflow::Overdue{"s"}, workflow::Restart{"s", true}, workflow::Wake{domain::TimePoint{5s}}};
        for (const auto& what : events) {
            const auto text = workflow::trigger_json({{"w", "i"}, what, true});
            const auto read = workflow::parse_trigger(text);
            CHECK(read.starts);
            CHECK(workflow::trigger_json(read) == text);
        }
    }

    TEST_CASE("an event without an id concerns nobody and is told of")
    {
        Engine engine(begin_a);
        std::vector<std::string> without_id;
        CHECK(engine.registry.triggers_of("go", {{"other", 1}}, without_id).empty());
        CHECK(without_id == std::vector<std::string>{"id"});
        without_id.clear();
        CHECK(engine.registry.triggers_of("other", {}, without_id).empty());
        CHECK(without_id.empty());
    }

    TEST_CASE(
        "messages of an event lie in its plan, and one that is for workflows only is not stored for nothing")
    {
        Engine engine(begin_a);
        domain::PreparedEvent event;
        event.service = "go";
        event.payload = R"({"id":1})";
        event.triggers = {{{"w", "1"}, workflow::Incoming{"go", {{"id", 1}}}, true}};
        domain::PreparedEvent useless;
        useless.service = workflow::self_service;
        useless.payload = "{}";
        useless.only_for_workflows = true;
        useless.triggers = {{{"w", "2"}, workflow::Wake{}}};
        domain::FamilyIds ids(engine.now, std::nullopt, [] { return 1U; });
        workflow::Batch batch(engine.registry, {}, engine.now, [&ids] { return ids.next(); });
        const domain::PreparedEvent* events[] = {&event, &useless};
        const auto plan = domain::plan_ingest(events, {}, ids, &batch);
        CHECK(plan.answers.size() == 2);
        CHECK(plan.events.size() == 1);
        const auto rows = batch.take();
        REQUIRE(rows.instances.size() == 1);
        CHECK(rows.instances[0]->first_event == plan.answers[0].event_id);
        CHECK(rows.history.size() == 1);
        CHECK(rows.messages.size() == 1);
    }
}
