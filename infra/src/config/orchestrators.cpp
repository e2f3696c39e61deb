#include "config/option.hpp"
#include "domain/workflow/task_request.hpp"

namespace infra::config {
namespace {

constexpr const char* hub_subscription = "hub";

void subscribe_hub(Config& config, const std::string& sink)
{
    config.outbox.subscriptions[hub_subscription] = {
        {"topics", {domain::workflow::hub_topic}}, {"sink", sink}, {"start", "beginning"}};
}

// What carries tasks to the hub. They come back to polis-consumer.
void complete_hub(Config& config, Binary binary)
{
    if (config.event_hub.mode == EventHubMode::amqp && binary == Binary::worker)
        subscribe_hub(config, config.event_hub.url + "?queue=" + config.event_hub.queue);
    if (config.event_hub.mode != EventHubMode::kafka) return;
    if (binary == Binary::consumer)
        config.kafka.topics.try_emplace(config.kafka.topic, domain::workflow::task_queued);
    if (binary == Binary::worker) subscribe_hub(config, "kafka:" + config.kafka.topic);
}

void complete_tasks(Config& config)
{
    const auto add = [&config](const char* name, const std::string& url) {
        config.workflows.endpoints[name] = {.url = url, .timeout = config.tasks.call_timeout};
    };
    add("revenue", config.tasks.revenue_url);
    add("rebates", config.tasks.rebates_url);
    add("specialty", config.tasks.specialty_url);
}

std::string complete_urban(Config& config)
{
    auto& urban = config.urban_api;
    auto& bearer = urban.endpoint.bearer;
    if (!urban.auth_server_url.empty()) {
        if (!bearer.token.empty()) return "URBAN_API_TOKEN: give either a token or URBAN_API_AUTH_URL";
        if (urban.realm.empty() || bearer.client_id.empty() || bearer.client_secret.empty())
            return "URBAN_API_AUTH_URL: needs URBAN_API_AUTH_REALM, URBAN_API_CLIENT_ID and "
                   "URBAN_API_CLIENT_SECRET";
        bearer.token_url =
            urban.auth_server_url + "/realms/" + urban.realm + "/protocol/openid-connect/token";
    }
    if (!urban.endpoint.url.empty()) config.workflows.endpoints["urban"] = urban.endpoint;
    return {};
}

}  // namespace

EventHubMode older_mode(const EventHubConfig& hub)
{
    const bool kafka = hub.legacy_use_kafka && !hub.legacy_use_http;
    return kafka ? EventHubMode::kafka : EventHubMode::http;
}

std::vector<std::string> complete_orchestrators(Config& config, Binary binary)
{
    std::vector<std::string> problems;
    const bool carries = binary == Binary::worker || binary == Binary::consumer;
    if (carries && config.event_hub.mode == EventHubMode::amqp && config.event_hub.url.empty())
        problems.emplace_back("EVENT_HUB_URL: is required for EVENT_HUB_MODE=amqp");
    else
        complete_hub(config, binary);
    if (binary != Binary::worker) return problems;
    complete_tasks(config);
    if (auto problem = complete_urban(config); !problem.empty()) problems.push_back(std::move(problem));
    return problems;
}

}  // namespace infra::config
