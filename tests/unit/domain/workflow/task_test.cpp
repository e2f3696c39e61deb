#include "domain/workflow/task_request.hpp"
#include "unit/domain/workflow/play.hpp"

#include <doctest/doctest.h>

using namespace workflow_play;
using Texts = std::vector<std::string>;

namespace {

const std::string full = R"("task_name":"n","task_description":"d","payload":[)"
                         R"({"revenue":{"scenario_id":"s1","business_type_id":"b1","x":1}},)"
                         R"({"revenue":{"scenario_id":"s2","business_type_id":"b2"},)"
                         R"("rebates":{"scenario_id":"s3","business_type_id":"b3"},"specialty":null}])";

struct Task : Play {
    explicit Task(workflow::Settings settings = {}) : Play(registry, {"task", "t1"})
    {
        workflow::register_builtin_workflows(registry, settings);
    }

    Texts say(std::string_view service, const std::string& members = full)
    {
        return hear(service, R"({"task_id":"t1",)" + members + "}");
    }
    void answer(const char* service, json::value body, std::string error = {})
    {
        const unsigned status = error.empty() ? 200 : 500;
        apply(workflow::Reply{service, 1, status, std::move(body), std::move(error)});
    }

    workflow::Registry registry;
};

std::string call(const std::string& service, const std::string& items)
{
    return "$call." + service + R"(  {"workflow":"task","id":"t1","step":")" + service +
           R"(","attempt":1,"endpoint":")" + service + R"(","method":"POST","path":"","body":)" + items + "}";
}

const Texts calls{
    call("revenue",
         R"([{"scenario_id":"s1","business_type_id":"b1"},{"scenario_id":"s2","business_type_id":"b2"}])"),
    call("rebates", R"([{"scenario_id":"s3","business_type_id":"b3"}])")};

std::vector<domain::FieldError> errors_of(const std::string& text)
{
    const auto request = workflow::read_task_request(json::parse(text).as_object());
    return request ? std::vector<domain::FieldError>{} : request.error().fields;
}

}  // namespace

TEST_SUITE("domain/workflow/task")
{
    TEST_CASE("without a hub a task is split at once: one call a service, items in order")
    {
        Task task;
        CHECK(task.say("task.requested") == calls);
        CHECK(task.state().status == "IN_PROGRESS");
        CHECK(json::serialize(task.state().data.at("payload").at(0)) ==
              R"({"revenue":{"scenario_id":"s1","business_type_id":"b1"},"rebates":null,"specialty":null})");
        task.answer("revenue", {{"status", "success"}});
        CHECK(task.state().status == "IN_PROGRESS");
        task.answer("rebates", json::object());
        CHECK(task.state().status == "COMPLETED");
        CHECK(task.state().find("rebates")->data.at("response") == json::object());
    }

    TEST_CASE("through the hub: pending, one message, and the calls when it is back")
    {
        Task task({.task_hub_patience = 30s});
        const auto sent = task.say("task.requested");
        REQUIRE(sent.size() == 1);
        CHECK(sent.front().starts_with(R"($hub t1 {"task_name":"n")"));
        CHECK(sent.front().ends_with(R"("task_id":"t1"})"));
        CHECK(task.state().status == "PENDING");
        CHECK(task.say("task.queued") == calls);
        CHECK(task.state().status == "IN_PROGRESS");

        SUBCASE("a message that comes again changes nothing")
        {
            CHECK(task.say("task.queued").empty());
            CHECK(!task.changed);
            CHECK(task.say("task.requested").empty());
            CHECK(!task.changed);
        }
    }

    TEST_CASE("a hub that does not deliver delays a task, and does not lose it")
    {
        Task task({.task_hub_patience = 30s});
        task.say("task.requested");
        task.now += 30s;
        CHECK(task.apply(workflow::Wake{*task.timers.back().due_at}) == calls);
        CHECK(task.state().status == "IN_PROGRESS");
        CHECK(task.say("task.queued").empty());
        CHECK(!task.changed);
        task.answer("revenue", {});
        task.answer("rebates", {});
        CHECK(task.state().status == "COMPLETED");
        CHECK(task.state().error.empty());
    }

    TEST_CASE("a direct task does not travel")
    {
        Task task({.task_hub_patience = 30s});
        CHECK(task.say("task.direct") == calls);
    }

    TEST_CASE("a message that nobody asked for is a task too")
    {
        Task task({.task_hub_patience = 30s});
        CHECK(task.say("task.queued") == calls);

        Task nameless;
        const auto sent = nameless.hear("task.queued", "{" + full + "}");
        CHECK(sent.size() == 2);
        CHECK(nameless.changed);
        CHECK(nameless.hear("task.queued", "{" + full + "}").empty());
        CHECK(!nameless.changed);
    }

    TEST_CASE("a message that is no request is a failed task")
    {
        Task task;
        CHECK(task.say("task.queued", R"("task_name":"n","payload":[])").empty());
        CHECK(task.state().status == "FAILED");
        CHECK(task.state().error == "Validation error: task_description: is required");
        CHECK(task.state().data.at("task_name") == "n");
        CHECK(task.state().data.at("task_description") == "Task from Event Hub");
    }

    TEST_CASE("nothing to call is a success")
    {
        Task task;
        CHECK(task.say("task.requested", R"("task_name":"n","task_description":"d","payload":[])").empty());
        CHECK(task.state().status == "COMPLETED");
    }

    TEST_CASE("one failure or all: the task failed, and says what each service said")
    {
        Task some;
        some.say("task.requested");
        some.answer("revenue", nullptr, "answered 500");
        some.answer("rebates", json::array{1});
        CHECK(some.state().status == "FAILED");
        CHECK(some.state().error == R"({"revenue":"answered 500"})");
        CHECK(some.step("rebates") == "completed");

        Task all;
        all.say("task.requested");
        all.answer("revenue", nullptr, "answered 500");
        all.answer("rebates", nullptr, "no answer");
        CHECK(all.state().error == R"({"revenue":"answered 500","rebates":"no answer"})");
    }

    TEST_CASE("a deadline is an outcome, and the final status is never overwritten")
    {
        Task task({.step_deadline = 60s});
        task.say("task.requested");
        task.answer("revenue", {});
        task.now += 60s;
        task.apply(workflow::Wake{*task.timers.back().due_at});
        CHECK(task.state().status == "FAILED");
        CHECK(task.state().error == R"({"rebates":"no outcome before its deadline"})");
        task.answer("rebates", {});
        CHECK(!task.changed);
        task.say("task.queued");
        CHECK(!task.changed);
        task.apply(workflow::Restart{"rebates"});
        CHECK(!task.changed);
        CHECK(task.state().status == "FAILED");
    }

    TEST_CASE("what a request must have")
    {
        using Errors = std::vector<domain::FieldError>;
        const std::string head = R"({"task_name":"n","task_description":"d","payload":)";
        CHECK(errors_of(head + "[]}").empty());
        CHECK(errors_of(R"({"task_name":1,"task_description":null})") ==
              Errors{{"task_name", "must be a text"},
                     {"task_description", "must be a text"},
                     {"payload", "is required"}});
        CHECK(errors_of(head + R"([{}]})") ==
              Errors{{"payload.0", "At least one of revenue, rebates, or specialty must be provided"}});
        CHECK(errors_of(head + R"([{"revenue":null,"other":1},3]})") ==
              Errors{{"payload.0", "At least one of revenue, rebates, or specialty must be provided"},
                     {"payload.1", "must be an object"}});
        CHECK(errors_of(head + R"([{"rebates":{"scenario_id":7}},{"specialty":[]}]})") ==
              Errors{{"payload.0.rebates.scenario_id", "must be a text"},
                     {"payload.0.rebates.business_type_id", "is required"},
                     {"payload.1.specialty", "must be an object"}});
        CHECK(errors_of(head + "{}}") == Errors{{"payload", "must be an array"}});
    }
}
