#include "unit/domain/workflow/play.hpp"

#include <doctest/doctest.h>

using namespace workflow_play;
using Texts = std::vector<std::string>;

namespace {

struct Leak : Play {
    Leak() : Play(registry, {"water-leak", "17"})
    {
        workflow::register_builtin_workflows(registry, {.step_deadline = 60s});
    }

    Texts report() { return hear("leak.reported", R"({"leak_id":17})"); }
    workflow::Reply answer(unsigned status, std::string error = {}, std::uint32_t attempt = 1)
    {
        return {"valve", attempt, status, nullptr, std::move(error)};
    }

    workflow::Registry registry;
};

}  // namespace

TEST_SUITE("domain/workflow/water_leak")
{
    TEST_CASE("a leak closes the valve, calls the crew and waits for the repair")
    {
        Leak leak;
        CHECK(leak.report() ==
              Texts{R"($call.valves  {"workflow":"water-leak","id":"17","step":"valve","attempt":1,)"
                    R"("endpoint":"valves","method":"POST","path":"/close","body":{"leak_id":17}})"});
        CHECK(leak.state().status == "closing");
        CHECK(leak.apply(leak.answer(200)) == Texts{R"(crew.requested water-leak/17 {"leak_id":17})"});
        CHECK(leak.hear("leak.repaired", R"({"leak_id":17})").empty());
        CHECK(leak.state().status == "completed");
    }

    TEST_CASE("a call that failed can be begun again, and its late reply is dropped")
    {
        Leak leak;
        leak.report();
        leak.apply(leak.answer(500, "answered 500"));
        CHECK(leak.state().status == "failed");
        CHECK(leak.state().find("valve")->error == "answered 500");
        CHECK(leak.apply(workflow::Restart{"valve"}).size() == 1);
        CHECK(leak.apply(leak.answer(200)).empty());
        CHECK(!leak.changed);
        CHECK(leak.apply(leak.answer(200, {}, 2)).size() == 1);
    }

    TEST_CASE("no answer before the deadline is an outcome")
    {
        Leak leak;
        leak.report();
        leak.now += 60s;
        leak.apply(workflow::Wake{*leak.timers.back().due_at});
        CHECK(leak.state().error == "valve took too long");
        CHECK(leak.apply(leak.answer(200)).empty());
        CHECK(!leak.changed);
    }
}
