#include "unit/domain/workflow/play.hpp"

#include <doctest/doctest.h>

using namespace workflow_play;
using Texts = std::vector<std::string>;

namespace {

struct City : Play {
    explicit City(workflow::Settings settings = {}) : Play(registry, {"city-guide", "r1"})
    {
        workflow::register_builtin_workflows(registry, settings);
    }

    Texts confirm() { return hear("route.confirmed", R"({"route_id":"r1","mode":"foot"})"); }
    Texts stories(const std::string& list)
    {
        return hear("story.generate.completed", R"({"route_id":"r1","stories":[)" + list + "]}");
    }
    Texts spoken(const std::string& story, const std::string& rest = "")
    {
        return hear("tts.completed", R"({"route_id":"r1","story_id":")" + story + '"' + rest + "}");
    }

    workflow::Registry registry;
};

const std::string two =
    R"({"story_id":"s1","markdown":" One. "},{"story_id":2,"markdown":"Two.","lang":"en",)"
    R"("voice":"v","format":"mp3"})";

}  // namespace

TEST_SUITE("domain/workflow/city_guide")
{
    TEST_CASE("a confirmed route asks for stories")
    {
        City city;
        CHECK(city.confirm() == Texts{R"(story.generate r1 {"route_id":"r1","lang":"ru"})"});
        CHECK(city.state().status == "story");
        CHECK(city.step("story") == "pending");
        CHECK(city.timers.size() == 1);
    }

    TEST_CASE("a route whose id is a number is the route of that text")
    {
        City city;
        CHECK(city.hear("route.confirmed", R"({"route_id":7})") ==
              Texts{R"(story.generate 7 {"route_id":"7","lang":"ru"})"});
    }

    TEST_CASE("every completed story is spoken, with its own voice, format and language")
    {
        City city;
        city.confirm();
        CHECK(city.stories(two) ==
              Texts{R"(tts.requested s1 {"route_id":"r1","story_id":"s1","text":"One.","lang":"ru"})",
                    R"(tts.requested 2 {"route_id":"r1","story_id":"2","text":"Two.","lang":"en",)"
                    R"("voice":"v","format":"mp3"})"});
        CHECK(city.state().status == "tts");
        CHECK(city.step("story") == "completed");
        CHECK(city.step("tts:s1") == "pending");
    }

    TEST_CASE("the last speech sends one prefetch with the finished audio ids")
    {
        City city;
        city.confirm();
        city.stories(two);
        CHECK(city.spoken("s1", R"(,"audio_id":"a1")").empty());
        CHECK(city.spoken("2", R"(,"audio_id":"a2")") ==
              Texts{R"(delivery.prefetch r1 {"route_id":"r1","next_audio":["a1","a2"]})"});
        CHECK(city.state().status == "completed");
        CHECK(city.state().ended);
        CHECK(city.spoken("2", R"(,"audio_id":"a3")").empty());
        CHECK(!city.changed);
    }

    TEST_CASE("how a story ends")
    {
        struct Row {
            const char* what;
            std::string stories;
            std::string spoken;
            const char* step;
            const char* status;
            std::size_t prefetches;
        };
        const std::string one = R"({"story_id":"s1","markdown":"x"})";
        const std::vector<Row> rows{
            {"no status is completed", one, "", "completed", "completed", 1},
            {"completed", one, R"(,"status":"completed")", "completed", "completed", 1},
            {"failed", one, R"(,"status":"failed")", "failed", "failed", 0},
            {"rejected", one, R"(,"status":"rejected")", "failed", "failed", 0},
            {"skipped", one, R"(,"status":"skipped")", "skipped", "failed", 0},
            {"no end of it", one, R"(,"status":"running")", "pending", "tts", 0},
            {"a rejected story", R"({"story_id":"s1","markdown":"x","status":"rejected"})", "", "skipped",
             "failed", 0},
            {"blank text", R"({"story_id":"s1","markdown":" \n"})", "", "skipped", "failed", 0},
            {"no stories", "", "", "absent", "failed", 0},
            {"a story without an id", R"({"markdown":"x"})", "", "absent", "failed", 0},
        };
        for (const auto& row : rows) {
            CAPTURE(row.what);
            City city;
            city.confirm();
            city.stories(row.stories);
            const auto sent = city.spoken("s1", row.spoken);
            CHECK(city.step("tts:s1") == row.step);
            CHECK(city.state().status == row.status);
            CHECK(sent.size() == row.prefetches);
        }
    }

    TEST_CASE("some failed and one succeeded: the one is prefetched")
    {
        City city;
        city.confirm();
        city.stories(two);
        city.spoken("s1", R"(,"status":"failed")");
        CHECK(city.spoken("2", R"(,"audio_id":"a2")") ==
              Texts{R"(delivery.prefetch r1 {"route_id":"r1","next_audio":["a2"]})"});
    }

    TEST_CASE("unknown, early and repeated events change nothing")
    {
        City city;
        CHECK(city.spoken("s1").empty());
        CHECK(city.stories(two).empty());
        CHECK(!city.exists());
        city.confirm();
        CHECK(city.spoken("s1").empty());
        CHECK(!city.changed);
        CHECK(city.confirm().empty());
        CHECK(!city.changed);
        city.stories(two);
        CHECK(city.stories(R"({"story_id":"s9","markdown":"x"})").empty());
        CHECK(!city.changed);
        CHECK(city.spoken("s9").empty());
        CHECK(city.state().steps.size() == 3);
    }

    TEST_CASE("a restart sends the whole batch again, and the prefetch never twice")
    {
        City city;
        city.confirm();
        city.stories(two + R"(,{"story_id":"s3","status":"rejected"})");
        city.spoken("s1");
        city.spoken("2");
        REQUIRE(city.state().ended);
        CHECK(city.apply(workflow::Restart{"tts_batch"}).size() == 2);
        CHECK(city.step("tts:s1") == "pending");
        CHECK(city.step("tts:s3") == "skipped");
        CHECK(city.state().find("tts:s1")->attempts == 2);
        CHECK(city.state().status == "tts");
        CHECK(city.spoken("s1").empty());
        CHECK(city.spoken("2").empty());
        CHECK(city.state().status == "completed");
    }

    TEST_CASE("a restart of what failed sends only that")
    {
        City city;
        city.confirm();
        city.stories(two);
        city.spoken("s1", R"(,"status":"failed")");
        city.spoken("2", R"(,"status":"failed")");
        CHECK(city.state().status == "failed");
        city.apply(workflow::Restart{"tts_batch"});
        city.spoken("s1");
        city.spoken("2", R"(,"status":"failed")");
        CHECK(city.apply(workflow::Restart{"tts_batch", true}) ==
              Texts{R"(tts.requested 2 {"route_id":"r1","story_id":"2","text":"Two.","lang":"en",)"
                    R"("voice":"v","format":"mp3"})"});
    }

    TEST_CASE("what cannot be restarted is refused")
    {
        City city;
        city.confirm();
        auto instance = city.instance();
        const auto refusal = [&](const char* step) {
            return workflow::take_turn(*city.registry.newest("city-guide"), instance,
                                       {city.now, workflow::Restart{step}})
                .refused;
        };
        CHECK(refusal("story")->kind == workflow::Refusal::Kind::unsupported);
        CHECK(refusal("story")->text == "unsupported step");
        CHECK(refusal("tts_batch")->kind == workflow::Refusal::Kind::not_found);
        CHECK(refusal("tts_batch")->text == "steps not found");
    }

    TEST_CASE("a deadline is an outcome")
    {
        City city({.step_deadline = 10s});
        city.confirm();
        city.now += 11s;
        city.apply(workflow::Wake{*city.timers.back().due_at});
        CHECK(city.state().status == "failed");
        CHECK(city.state().error == "no stories came in time");

        City late({.step_deadline = 10s});
        late.confirm();
        late.now += 5s;
        late.stories(two);
        late.spoken("s1", R"(,"audio_id":"a1")");
        late.now += 6s;
        CHECK(late.apply(workflow::Wake{*late.timers.back().due_at}).empty());
        CHECK(late.timers.size() == 2);
        late.now += 5s;
        CHECK(late.apply(workflow::Wake{*late.timers.back().due_at}) ==
              Texts{R"(delivery.prefetch r1 {"route_id":"r1","next_audio":["a1"]})"});
        CHECK(late.step("tts:2") == "failed");
    }

    TEST_CASE("the first two audios are measured from the confirmation, once")
    {
        City city;
        city.confirm();
        city.now += 3s;
        city.stories(two + R"(,{"story_id":"s3","markdown":"x"})");
        city.spoken("s1");
        CHECK(city.measured.empty());
        city.now += 4500ms;
        city.spoken("2");
        CHECK(city.measured == std::vector<workflow::Measurement>{{"route_to_first_audio_seconds", 7.5}});
        city.spoken("s3");
        CHECK(city.measured.empty());
        city.apply(workflow::Restart{"tts_batch"});
        city.spoken("s1");
        city.spoken("2");
        CHECK(city.measured.empty());
    }

    TEST_CASE("the legacy topic also carries stories without a text")
    {
        City city({.city_guide_legacy_topic = true});
        city.confirm();
        CHECK(city.stories(R"({"story_id":"s1"},{"story_id":"s2"})") ==
              Texts{R"(tts s1 {"route_id":"r1","story_id":"s1"})",
                    R"(tts s2 {"route_id":"r1","story_id":"s2"})"});
        CHECK(city.spoken("s1").empty());
        CHECK(city.spoken("s2") ==
              Texts{R"(delivery.prefetch r1 {"route_id":"r1","next_audio":["s1","s2"]})"});
    }
}
