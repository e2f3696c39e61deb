#include "unit/domain/workflow/play.hpp"

#include <doctest/doctest.h>

using namespace workflow_play;
using Texts = std::vector<std::string>;

namespace {

struct Urban : Play {
    explicit Urban(workflow::InstanceKey key, workflow::Settings settings = {})
        : Play(registry, std::move(key))
    {
        workflow::register_builtin_workflows(registry, settings);
    }

    Texts answer(const std::string& step, unsigned status, std::string_view body = "null")
    {
        const auto* found = state().find(step);
        REQUIRE(found != nullptr);
        std::string error = status < 300 && status != 0 ? "" : "answered " + std::to_string(status);
        return apply(workflow::Reply{step, found->attempts, status, json::parse({body.data(), body.size()}),
                                     std::move(error)});
    }
    Texts wait() { return apply(workflow::Wake{*timers.back().due_at}); }

    workflow::Registry registry;
};

struct Project : Urban {
    explicit Project(workflow::Settings settings = {}) : Urban({"project-created", "1"}, settings) {}
    Texts announce()
    {
        return hear("scenario.events.projects.ProjectCreated",
                    R"({"project_id":1,"base_scenario_id":2,"territory_id":3})");
    }
    Texts list(const std::string& scenarios)
    {
        announce();
        answer("project", 200, R"({"project_id":1,"user_id":"u"})");
        return answer("scenarios:1", 200, "[" + scenarios + "]");
    }
};

struct Regional : Urban {
    explicit Regional(workflow::Settings settings = {}) : Urban({"regional-scenario-created", "5"}, settings)
    {
    }
    Texts announce()
    {
        return hear("scenario.events.regional_scenarios.RegionalScenarioCreated",
                    R"({"scenario_id":5,"territory_id":100})");
    }
};

std::string scenario(int id, const std::string& user = "u", bool based = false)
{
    return R"({"scenario_id":)" + std::to_string(id) + R"(,"project":{"user_id":")" + user +
           R"("},"is_based":)" + (based ? "true" : "false") + ",\"x\":1}";
}

std::string call(const std::string& workflow, const std::string& id, const std::string& step,
                 const std::string& method, const std::string& path)
{
    return R"($call.urban  {"workflow":")" + workflow + R"(","id":")" + id + R"(","step":")" + step +
           R"(","attempt":1,"endpoint":"urban","method":")" + method + R"(","path":")" + path +
           R"(","body":null})";
}

}  // namespace

TEST_SUITE("domain/workflow/base_scenarios")
{
    TEST_CASE("a project gets a base scenario of each regional scenario of its user that is no base itself")
    {
        Project project;
        CHECK(project.announce() ==
              Texts{call("project-created", "1", "project", "GET", "/api/v1/projects/1")});
        CHECK(project.answer("project", 200, R"({"project_id":1,"user_id":"u"})") ==
              Texts{call("project-created", "1", "scenarios:1", "GET",
                         "/api/v1/scenarios?is_based=false&only_own=false&territory_id=3")});
        const auto list = "[" + scenario(10) + "," + scenario(11, "v") + "," + scenario(12, "u", true) + "," +
                          scenario(13) + "]";
        CHECK(project.answer("scenarios:1", 200, list) ==
              Texts{call("project-created", "1", "base_scenario:10", "POST",
                         "/api/v1/projects/1/base_scenario/10"),
                    call("project-created", "1", "base_scenario:13", "POST",
                         "/api/v1/projects/1/base_scenario/13")});
        project.answer("base_scenario:10", 201);
        CHECK(project.state().status == "creating");
        project.answer("base_scenario:13", 409);
        CHECK(project.state().status == "completed");
        CHECK(project.step("base_scenario:13") == "skipped");
        CHECK(project.state().find("base_scenario:13")->error == "Base scenario already exists");
    }

    TEST_CASE("a regional scenario gets the projects of all pages")
    {
        Regional regional;
        CHECK(regional.announce() ==
              Texts{call("regional-scenario-created", "5", "scenario", "GET", "/api/v1/scenarios/5")});
        CHECK(
            regional.answer("scenario", 200, R"({"scenario_id":5,"project":{"user_id":"u"}})") ==
            Texts{call("regional-scenario-created", "5", "projects:1", "GET",
                       "/api/v1/projects?is_regional=false&only_own=false&page_size=100&territory_id=100")});
        CHECK(regional.answer(
                  "projects:1", 200,
                  R"({"count":3,"prev":null,"next":"/api/v1/projects?page=2",)"
                  R"("results":[{"project_id":1,"user_id":"u"},{"project_id":2,"user_id":"v"}]})") ==
              Texts{call("regional-scenario-created", "5", "projects:2", "GET", "/api/v1/projects?page=2")});
        CHECK(regional.answer("projects:2", 200,
                              R"({"next":null,"results":[{"project_id":3,"user_id":"u"}]})") ==
              Texts{call("regional-scenario-created", "5", "base_scenario:1", "POST",
                         "/api/v1/projects/1/base_scenario/5"),
                    call("regional-scenario-created", "5", "base_scenario:3", "POST",
                         "/api/v1/projects/3/base_scenario/5")});
    }

    TEST_CASE("of a next page's URL only path and query are believed")
    {
        for (const auto* next : {"api/v1/projects?page=2", "http://elsewhere/api/v1/projects?page=2"}) {
            Regional regional;
            regional.announce();
            regional.answer("scenario", 200, R"({"project":{"user_id":"u"}})");
            CHECK(regional.answer("projects:1", 200,
                                  R"({"results":[],"next":")" + std::string(next) + R"("})") ==
                  Texts{call("regional-scenario-created", "5", "projects:2", "GET",
                             "/api/v1/projects?page=2")});
        }
    }

    TEST_CASE("nothing matches: nothing is created")
    {
        Project project;
        CHECK(project.list(scenario(11, "v")).empty());
        CHECK(project.state().status == "completed");
    }

    TEST_CASE("how a creation ends, and the workflow with it")
    {
        struct Row {
            unsigned status;
            const char* step;
            const char* workflow;
        };
        for (const auto& row : std::vector<Row>{{200, "completed", "completed"},
                                                {201, "completed", "completed"},
                                                {409, "skipped", "completed"},
                                                {400, "failed", "completed"},
                                                {404, "failed", "completed"},
                                                {401, "failed", "failed"},
                                                {403, "failed", "failed"},
                                                {422, "failed", "failed"},
                                                {500, "failed", "failed"},
                                                {0, "failed", "failed"}}) {
            CAPTURE(row.status);
            Project project;
            project.list(scenario(10) + "," + scenario(11));
            project.answer("base_scenario:10", row.status);
            project.answer("base_scenario:11", 201);
            CHECK(project.step("base_scenario:10") == row.step);
            CHECK(project.state().status == row.workflow);
        }
    }

    TEST_CASE("what is new is looked for again before its 404 is believed")
    {
        Project project;
        project.announce();
        for (int i = 0; i < 6; ++i) {
            CHECK(project.answer("project", 404).empty());
            CHECK(project.step("pause") == "pending");
            project.now += 31s;
            CHECK(project.wait().size() == 1);
        }
        SUBCASE("it is there at last")
        {
            CHECK(project.answer("project", 200, R"({"user_id":"u"})").size() == 1);
        }
        SUBCASE("it is not")
        {
            project.answer("project", 404);
            CHECK(project.state().status == "not_found");
            CHECK(project.state().error == "Project not found");
        }
    }

    TEST_CASE("an unknown territory is an end, an answer that cannot be read a failure")
    {
        Project nowhere;
        nowhere.announce();
        nowhere.answer("project", 200, R"({"user_id":"u"})");
        nowhere.answer("scenarios:1", 404);
        CHECK(nowhere.state().status == "not_found");
        CHECK(nowhere.state().error == "No territory found");

        for (const auto* body : {"null", "{}", R"({"user_id":7})"}) {
            Project project;
            project.announce();
            project.answer("project", 200, body);
            CHECK(project.state().status == "failed");
        }
        for (const auto* entry : {"7", "{}", R"({"scenario_id":1,"project":{"user_id":"u"}})"}) {
            Project project;
            project.list(entry);
            CHECK(project.state().status == "failed");
        }
    }

    TEST_CASE("a repeat changes nothing while it is under way or when it is done")
    {
        Project project;
        project.list(scenario(10));
        CHECK(project.announce().empty());
        CHECK(!project.changed);
        project.answer("base_scenario:10", 201);
        CHECK(project.announce().empty());
        CHECK(!project.changed);
    }

    TEST_CASE("after a failure a restart, or the event again, does what was not done")
    {
        for (const bool restart : {true, false}) {
            CAPTURE(restart);
            Project project;
            project.list(scenario(10) + "," + scenario(11));
            project.answer("base_scenario:10", 201);
            project.answer("base_scenario:11", 500);
            REQUIRE(project.state().status == "failed");
            const auto sent = restart ? project.apply(workflow::Restart{"project"}) : project.announce();
            CHECK(sent.size() == 1);
            project.answer("project", 200, R"({"user_id":"u"})");
            CHECK(project.answer("scenarios:1", 200, "[" + scenario(10) + "," + scenario(11) + "]").size() ==
                  1);
            project.answer("base_scenario:11", 201);
            CHECK(project.state().status == "completed");
        }
    }

    TEST_CASE("what cannot be restarted is refused")
    {
        Project project;
        project.announce();
        auto instance = project.instance();
        const auto refusal = [&](const char* step) {
            return workflow::take_turn(*project.registry.newest("project-created"), instance,
                                       {project.now, workflow::Restart{step}})
                .refused->kind;
        };
        CHECK(refusal("scenarios:1") == workflow::Refusal::Kind::unsupported);
        CHECK(refusal("project") == workflow::Refusal::Kind::not_found);
    }

    TEST_CASE("a deadline is an outcome")
    {
        Project project({.step_deadline = 10s});
        project.announce();
        project.now += 10s;
        project.wait();
        CHECK(project.state().error == "project took too long");

        Project late({.step_deadline = 10s});
        late.list(scenario(10));
        late.now += 10s;
        late.wait();
        CHECK(late.state().status == "failed");
        CHECK(late.step("base_scenario:10") == "failed");
    }
}
