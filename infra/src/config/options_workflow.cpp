#include "config/option.hpp"
#include "config/rules.hpp"
#include "domain/service_registry.hpp"

// The options of the workflows.
namespace infra::config {
namespace {

constexpr double second = 1;
constexpr double year = 365.0 * 24 * 3600;

std::string store_endpoint(Config& config, std::string_view value, std::string_view key)
{
    if (!domain::valid_service_name(key))
        return "must belong to a name of an endpoint (1 to 100 of A-Z a-z 0-9 . _ -)";
    std::string url(value);
    auto problem = check_http_url(url);
    if (problem.empty()) config.workflows.endpoints[std::string(key)].url = std::move(url);
    return problem;
}

std::string store_endpoints(Config& config, std::string_view value, std::string_view)
{
    return store_pairs(config, value, "must be NAME=URL[,NAME=URL...]", store_endpoint);
}

}  // namespace

std::vector<Option> workflow_options()
{
    return {
        {.name = "WORKFLOW_ENDPOINTS",
         .yaml_path = "workflows.endpoint_list",
         .default_note = "none",
         .used_by = worker,
         .rule = {"NAME=URL[,NAME=URL...]", store_endpoints, Shown::secret},
         .help = "Services that workflows call, each with its http(s) URL."},
        {.yaml_path = "workflows.endpoints.*",
         .default_note = "none",
         .used_by = worker,
         .rule = {"http(s) URL", store_endpoint, Shown::url},
         .help = "URL of a service that workflows call."},
        {.name = "WORKFLOW_STEP_DEADLINE_SECONDS",
         .yaml_path = "workflows.step_deadline_seconds",
         .default_text = "3600",
         .used_by = api | worker | consumer,
         .rule = seconds(
             second, year, [](Config & c) -> auto& { return c.workflows.settings.step_deadline; }),
         .help = "How long a step of a workflow may wait for its outcome; then it has failed."},
        {.name = "CITY_GUIDE_LEGACY_TOPIC",
         .yaml_path = "workflows.city_guide_legacy_topic",
         .default_text = "false",
         .used_by = api | worker | consumer,
         .rule = boolean([](Config & c) -> auto& { return c.workflows.settings.city_guide_legacy_topic; }),
         .help = "Send `tts` beside `tts.requested`, as older speech services expect."},
    };
}

}  // namespace infra::config
