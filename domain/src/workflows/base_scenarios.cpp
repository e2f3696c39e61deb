// A new project gets a base scenario for every regional scenario of its territory and its user, and a new
// regional scenario one for every project: read what is new, read what it may match page by page, create.
#include "domain/workflow/workflow.hpp"

#include <boost/json.hpp>

#include <algorithm>
#include <array>

namespace domain::workflow {
namespace {

namespace json = boost::json;
using namespace std::chrono_literals;

constexpr std::string_view pause = "pause";
constexpr std::string_view create_prefix = "base_scenario:";
constexpr std::string_view not_found = "not_found";

// The API announces what is new before it has committed it, so a 404 is not believed at once.
constexpr std::array<std::chrono::milliseconds, 6> pauses{1s, 2s, 4s, 8s, 16s, 30s};

const json::value* member(const json::value* value, const char* name)
{
    return value != nullptr && value->is_object() ? value->get_object().if_contains(name) : nullptr;
}

std::optional<std::string> text(const json::value* value)
{
    if (value == nullptr || !value->is_string()) return std::nullopt;
    return std::string(value->get_string());
}

std::optional<std::int64_t> number(const json::value* value)
{
    if (value == nullptr || !value->is_int64()) return std::nullopt;
    return value->get_int64();
}

// Something that may match, as a list shows it.
struct Other {
    std::int64_t id;
    std::string user;
    bool eligible;
};

std::optional<Other> project_in(const json::value& entry)
{
    const auto id = number(member(&entry, "project_id"));
    auto user = text(member(&entry, "user_id"));
    if (!id || !user) return std::nullopt;
    return Other{*id, *std::move(user), true};
}

std::optional<Other> scenario_in(const json::value& entry)
{
    const auto id = number(member(&entry, "scenario_id"));
    auto user = text(member(member(&entry, "project"), "user_id"));
    const auto* based = member(&entry, "is_based");
    if (!id || !user || based == nullptr || !based->is_bool()) return std::nullopt;
    return Other{*id, *std::move(user), !based->get_bool()};
}

struct Kind {
    std::string_view workflow;
    std::string_view service;
    const char* id_name;
    std::string_view subject;  // what is new; also the name of the step that reads it
    std::string_view missing;
    std::string_view others;  // what it may match
    std::string_view others_query;
    std::optional<std::string> (*owner)(const json::value& subject);
    std::optional<Other> (*other)(const json::value& entry);
    bool subject_is_project;
};

const Kind project_created{
    .workflow = "project-created",
    .service = "scenario.events.projects.ProjectCreated",
    .id_name = "project_id",
    .subject = "project",
    .missing = "Project not found",
    .others = "scenarios",
    .others_query = "?is_based=false&only_own=false&territory_id=",
    .owner = [](const json::value& project) { return text(member(&project, "user_id")); },
    .other = scenario_in,
    .subject_is_project = true};

const Kind regional_scenario_created{
    .workflow = "regional-scenario-created",
    .service = "scenario.events.regional_scenarios.RegionalScenarioCreated",
    .id_name = "scenario_id",
    .subject = "scenario",
    .missing = "Scenario not found",
    .others = "projects",
    .others_query = "?is_regional=false&only_own=false&page_size=100&territory_id=",
    .owner =
        [](const json::value& scenario) { return text(member(member(&scenario, "project"), "user_id")); },
    .other = project_in,
    .subject_is_project = false};

// `next` of a page is a path with its query; of a whole URL only these two are believed.
std::string page_path(std::string_view next)
{
    if (const auto scheme = next.find("://"); scheme != std::string_view::npos) {
        const auto slash = next.find('/', scheme + 3);
        next = slash == std::string_view::npos ? std::string_view() : next.substr(slash);
    }
    return next.starts_with('/') ? std::string(next) : '/' + std::string(next);
}

class BaseScenarios {
public:
    BaseScenarios(const Kind& kind, const Settings& settings) : kind_(kind), deadline_(settings.step_deadline)
    {
    }

    void operator()(Turn& turn, const Event& event) const
    {
        if (const auto* incoming = std::get_if<Incoming>(&event.what)) return hear(turn, incoming->payload);
        if (const auto* reply = std::get_if<Reply>(&event.what)) return answered(turn, *reply);
        if (const auto* restart = std::get_if<Restart>(&event.what)) return again(turn, *restart);
        const auto& step = std::get<Overdue>(event.what).step;
        if (step == pause) return read_subject(turn);
        if (step.starts_with(create_prefix)) return close(turn);
        turn.end("failed", step + " took too long");
    }

private:
    void hear(Turn& turn, const json::object& created) const
    {
        const bool over = turn.state.ended && turn.state.status != "completed";
        if (!turn.state.status.empty() && !over) return turn.ignore("this is known");
        turn.state.data = created;
        const json::value event = created;
        if (!number(member(&event, kind_.id_name)) || !number(member(&event, "territory_id")))
            return turn.end("failed", "the event has no ids");
        read_subject(turn);
    }

    void again(Turn& turn, const Restart& restart) const
    {
        if (restart.step != kind_.subject) return turn.refuse(Refusal::Kind::unsupported, "unsupported step");
        if (!turn.state.ended) return turn.refuse(Refusal::Kind::not_found, "the workflow is under way");
        read_subject(turn);
    }

    void read_subject(Turn& turn) const
    {
        turn.proceed("reading");
        get(turn, turn.begin(kind_.subject, deadline_),
            "/api/v1/" + std::string(kind_.subject) + "s/" + std::to_string(id(turn)));
    }

    void answered(Turn& turn, const Reply& reply) const
    {
        auto& step = *turn.state.find(reply.step);
        if (reply.step.starts_with(create_prefix)) return created(turn, step, reply);
        if (!reply.ok()) return unread(turn, step, reply);
        turn.finish(step, StepStatus::completed);
        if (reply.step == kind_.subject) return subject_read(turn, reply.body);
        page_read(turn, step, reply.body);
    }

    void unread(Turn& turn, Step& step, const Reply& reply) const
    {
        turn.finish(step, StepStatus::failed, reply.error);
        const bool subject = step.name == kind_.subject;
        if (reply.status != 404) return turn.end("failed", reply.error);
        if (!subject) return turn.end(not_found, "No territory found");
        const auto tried = turn.state.find(pause) == nullptr ? 0U : turn.state.find(pause)->attempts;
        if (tried >= pauses.size()) return turn.end(not_found, std::string(kind_.missing));
        turn.begin(pause, pauses.at(tried));
    }

    void subject_read(Turn& turn, const json::value& subject) const
    {
        auto owner = kind_.owner(subject);
        if (!owner) return misread(turn);
        turn.state.data["user_id"] = *std::move(owner);
        turn.state.data["pages"] = 0;
        const auto territory = turn.state.data.at("territory_id").as_int64();
        read_page(turn, "/api/v1/" + std::string(kind_.others) + std::string(kind_.others_query) +
                            std::to_string(territory));
    }

    void read_page(Turn& turn, std::string path) const
    {
        auto& pages = turn.state.data.at("pages").as_int64();
        ++pages;
        get(turn, turn.begin(std::string(kind_.others) + ':' + std::to_string(pages), deadline_),
            std::move(path));
    }

    // A plain array, or a page that names the next.
    void page_read(Turn& turn, Step& step, const json::value& body) const
    {
        const auto* list = body.is_array() ? &body : member(&body, "results");
        if (list == nullptr || !list->is_array()) return misread(turn);
        json::array matches;
        for (const auto& entry : list->get_array()) {
            const auto other = kind_.other(entry);
            if (!other) return misread(turn);
            if (other->eligible && other->user == turn.state.data.at("user_id").as_string())
                matches.push_back(other->id);
        }
        step.data["matches"] = std::move(matches);
        if (const auto next = text(member(&body, "next")); next && !next->empty())
            return read_page(turn, page_path(*next));
        create_all(turn);
    }

    void create_all(Turn& turn) const
    {
        turn.proceed("creating");
        for (std::int64_t page = 1; page <= turn.state.data.at("pages").as_int64(); ++page) {
            const auto& read = *turn.state.find(std::string(kind_.others) + ':' + std::to_string(page));
            const auto matches = read.data.at("matches").as_array();
            for (const auto& other : matches) create(turn, other.as_int64());
        }
        close(turn);
    }

    void create(Turn& turn, std::int64_t other) const
    {
        const auto name = std::string(create_prefix) + std::to_string(other);
        const auto* known = turn.state.find(name);
        // Under way, or done before a restart.
        if (known != nullptr && known->status != StepStatus::failed) return;
        const auto project = kind_.subject_is_project ? id(turn) : other;
        const auto scenario = kind_.subject_is_project ? other : id(turn);
        auto& step = turn.begin(name, deadline_);
        step.data.clear();
        turn.call(step, {.endpoint = std::string(endpoint),
                         .path = "/api/v1/projects/" + std::to_string(project) + "/base_scenario/" +
                                 std::to_string(scenario)});
    }

    static void created(Turn& turn, Step& step, const Reply& reply)
    {
        if (reply.ok()) {
            turn.finish(step, StepStatus::completed);
        } else if (reply.status == 409) {
            turn.finish(step, StepStatus::skipped, "Base scenario already exists");
        } else {
            turn.finish(step, StepStatus::failed, "Failed to create base scenario: " + reply.error);
            // An answer to the point: it stops no other, and trying again would not change it.
            if (reply.status == 400 || reply.status == 404) step.data["final"] = true;
        }
        close(turn);
    }

    // Ends the workflow once every creation is at its end.
    static void close(Turn& turn)
    {
        bool unexpected = false;
        for (const auto& step : turn.state.steps) {
            if (!step.name.starts_with(create_prefix)) continue;
            if (step.pending()) return;
            unexpected = unexpected || (step.status == StepStatus::failed && !step.data.contains("final"));
        }
        if (unexpected) return turn.end("failed", "Unexpected error while creating base scenario");
        turn.end("completed");
    }

    static void misread(Turn& turn) { turn.end("failed", "the Urban API's answer lacks what is needed"); }

    static void get(Turn& turn, const Step& step, std::string path)
    {
        turn.call(step, {.endpoint = std::string(endpoint), .method = "GET", .path = std::move(path)});
    }

    std::int64_t id(const Turn& turn) const { return turn.state.data.at(kind_.id_name).as_int64(); }

    static constexpr std::string_view endpoint = "urban";

    const Kind& kind_;
    std::chrono::milliseconds deadline_;
};

Definition definition_of(const Kind& kind, const Settings& settings)
{
    return {.name = std::string(kind.workflow),
            .id_name = kind.id_name,
            .listens = {{std::string(kind.service), id_member(kind.id_name), true}},
            .decide = BaseScenarios(kind, settings)};
}

}  // namespace

Definition make_project_created(const Settings& settings) { return definition_of(project_created, settings); }

Definition make_regional_scenario_created(const Settings& settings)
{
    return definition_of(regional_scenario_created, settings);
}

}  // namespace domain::workflow
