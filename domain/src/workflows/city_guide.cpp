// route.confirmed -> story.generate -> story.generate.completed -> tts.requested a story -> tts.completed
// each
// -> delivery.prefetch, once
#include "domain/workflow/workflow.hpp"

#include <boost/json.hpp>

#include <algorithm>

namespace domain::workflow {
namespace {

namespace json = boost::json;

constexpr std::string_view default_lang = "ru";
constexpr std::string_view batch = "tts_batch";
constexpr std::string_view speech_prefix = "tts:";
// The metric counts from the confirmation to this many stories that can be heard.
constexpr std::int64_t first_audio_stories = 2;

// A member that may be a text or a whole number.
std::string word(const json::object& object, const char* member) { return id_member(member)(object); }

std::string trimmed(const json::object& object, const char* member)
{
    constexpr std::string_view blanks = " \t\r\n\f\v";
    const auto text = word(object, member);
    const auto from = text.find_first_not_of(blanks);
    return from == std::string::npos ? "" : text.substr(from, text.find_last_not_of(blanks) - from + 1);
}

bool is_speech(const Step& step) { return step.name.starts_with(speech_prefix); }
std::string story_of(const Step& step) { return step.name.substr(speech_prefix.size()); }

class CityGuide {
public:
    explicit CityGuide(const Settings& settings)
        : deadline_(settings.step_deadline), legacy_topic_(settings.city_guide_legacy_topic)
    {
    }

    void operator()(Turn& turn, const Event& event) const
    {
        if (const auto* incoming = std::get_if<Incoming>(&event.what)) return hear(turn, *incoming);
        if (const auto* restart = std::get_if<Restart>(&event.what)) return again(turn, *restart);
        const auto* overdue = std::get_if<Overdue>(&event.what);
        if (overdue == nullptr) return turn.ignore("this workflow calls nobody");
        if (overdue->step == "story") return turn.end("failed", "no stories came in time");
        close(turn);
    }

private:
    void hear(Turn& turn, const Incoming& incoming) const
    {
        if (incoming.service == "route.confirmed") return confirmed(turn, incoming.payload);
        if (incoming.service == "story.generate.completed") return stories_came(turn, incoming.payload);
        spoken(turn, incoming.payload);
    }

    void confirmed(Turn& turn, const json::object& route) const
    {
        if (!turn.state.steps.empty()) return turn.ignore("the route is known");
        turn.state.data["route_id"] = word(route, "route_id");
        turn.state.data["confirmed_at"] = turn.now.time_since_epoch().count();
        turn.proceed("story");
        turn.begin("story", deadline_);
        turn.publish("story.generate", route_id(turn),
                     {{"route_id", route_id(turn)}, {"lang", default_lang}});
    }

    void stories_came(Turn& turn, const json::object& event) const
    {
        auto* step = turn.state.find("story");
        if (turn.state.ended || !step->pending()) return turn.ignore("stories are not waited for");
        turn.finish(*step, StepStatus::completed);
        turn.proceed("tts");
        const auto* stories = event.if_contains("stories");
        if (stories != nullptr && stories->is_array()) {
            for (const auto& story : stories->get_array()) {
                if (story.is_object()) take(turn, story.get_object(), word(event, "lang"));
            }
        }
        close(turn);
    }

    void take(Turn& turn, const json::object& story, const std::string& lang) const
    {
        const auto id = word(story, "story_id");
        const auto name = std::string(speech_prefix) + id;
        if (id.empty() || turn.state.find(name) != nullptr) return;
        if (story.contains("status") && word(story, "status") != "completed") {
            turn.add(name, StepStatus::skipped, "there is no story");
            return;
        }
        const auto text = trimmed(story, "markdown");
        if (text.empty() && !legacy_topic_) {
            turn.add(name, StepStatus::skipped, "the story has no text");
            return;
        }
        auto& step = turn.begin(name, deadline_);
        // Kept, so that a restart can send it again.
        step.data["text"] = text;
        const auto own = word(story, "lang");
        step.data["lang"] = !own.empty() ? own : lang.empty() ? std::string(default_lang) : lang;
        for (const char* member : {"voice", "format"}) {
            if (auto value = word(story, member); !value.empty()) step.data[member] = value;
        }
        request(turn, step);
    }

    void request(Turn& turn, const Step& step) const
    {
        const auto story = story_of(step);
        json::object ids{{"route_id", route_id(turn)}, {"story_id", story}};
        if (!step.data.at("text").as_string().empty()) {
            auto wanted = ids;
            for (const char* member : {"text", "lang", "voice", "format"}) {
                if (const auto* value = step.data.if_contains(member)) wanted[member] = *value;
            }
            turn.publish("tts.requested", story, std::move(wanted));
        }
        if (legacy_topic_) turn.publish("tts", story, std::move(ids));
    }

    void spoken(Turn& turn, const json::object& event) const
    {
        auto* step = turn.state.find(std::string(speech_prefix) + word(event, "story_id"));
        if (turn.state.ended || step == nullptr || !step->pending())
            return turn.ignore("this speech is not waited for");
        const auto status = event.contains("status") ? word(event, "status") : "completed";
        if (status == "completed") {
            const auto audio = word(event, "audio_id");
            turn.finish(*step, StepStatus::completed);
            step->data["audio_id"] = audio.empty() ? story_of(*step) : audio;
            count_audio(turn);
        } else if (status == "failed" || status == "rejected") {
            turn.finish(*step, StepStatus::failed, "the speech was " + status);
        } else if (status == "skipped") {
            turn.finish(*step, StepStatus::skipped, "the speech was skipped");
        } else {
            return turn.ignore("this is no end of a speech");
        }
        close(turn);
    }

    static void count_audio(Turn& turn)
    {
        const auto heard = std::count_if(turn.state.steps.begin(), turn.state.steps.end(), is_heard);
        if (heard != first_audio_stories || turn.state.data.contains("first_audio")) return;
        turn.state.data["first_audio"] = true;
        const TimePoint confirmed{TimePoint::duration(turn.state.data.at("confirmed_at").as_int64())};
        turn.measure("route_to_first_audio_seconds",
                     std::chrono::duration<double>(turn.now - confirmed).count());
    }

    static bool is_heard(const Step& step) { return is_speech(step) && step.status == StepStatus::completed; }

    // Ends the workflow once every speech is at an end.
    static void close(Turn& turn)
    {
        json::array audio;
        for (const auto& step : turn.state.steps) {
            if (is_speech(step) && step.pending()) return;
            if (is_heard(step)) audio.push_back(step.data.at("audio_id"));
        }
        if (audio.empty()) return turn.end("failed", "no story can be heard");
        if (!turn.state.data.contains("prefetched")) {
            turn.state.data["prefetched"] = true;
            turn.publish("delivery.prefetch", route_id(turn),
                         {{"route_id", route_id(turn)}, {"next_audio", std::move(audio)}});
        }
        turn.end("completed");
    }

    void again(Turn& turn, const Restart& restart) const
    {
        if (restart.step != batch) return turn.refuse(Refusal::Kind::unsupported, "unsupported step");
        bool any = false;
        for (auto& step : turn.state.steps) {
            // What has no text has nothing to be sent again.
            const bool wanted =
                restart.only_failed ? step.status == StepStatus::failed : step.data.contains("text");
            if (!is_speech(step) || !wanted) continue;
            any = true;
            request(turn, turn.begin(step.name, deadline_));
        }
        if (!any) return turn.refuse(Refusal::Kind::not_found, "steps not found");
        turn.proceed("tts");
    }

    static std::string route_id(const Turn& turn)
    {
        return std::string(turn.state.data.at("route_id").as_string());
    }

    std::chrono::milliseconds deadline_;
    bool legacy_topic_;
};

}  // namespace

Definition make_city_guide(const Settings& settings)
{
    return {.name = "city-guide",
            .id_name = "route_id",
            .listens = {{"route.confirmed", id_member("route_id"), true},
                        {"story.generate.completed", id_member("route_id")},
                        {"tts.completed", id_member("route_id")}},
            .decide = CityGuide(settings)};
}

}  // namespace domain::workflow
