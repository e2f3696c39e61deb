#include "config/option.hpp"
#include "config/rules.hpp"

// The options of the orchestrators 001 (tasks) and 000 (base scenarios).
namespace infra::config {
namespace {

constexpr double tick = 0.001;
constexpr double hour = 3600;
constexpr double day = 24 * hour;

Option service_url(std::string_view name, std::string_view yaml_path, std::string_view default_text,
                   std::string& (*field)(Config&))
{
    return {.name = name,
            .yaml_path = yaml_path,
            .default_text = default_text,
            .used_by = worker,
            .rule = text("http(s) URL", Shown::url, check_http_url, field),
            .help = "Service that takes its part of every task."};
}

// As the older configuration has it: a host without a scheme is meant as http.
std::string check_base_url(std::string& text)
{
    if (text.find("://") == std::string::npos) text.insert(0, "http://");
    while (text.ends_with('/')) text.pop_back();
    return check_http_url(text);
}

std::string check_secret(std::string& text)
{
    for (const char c : text) {
        if (c <= ' ' || c > '~') return "must be printable ASCII without blanks";
    }
    return {};
}

Option urban_text(std::string_view name, std::string_view yaml_path, Shown shown, Check check,
                  std::string& (*field)(Config&), std::string_view help)
{
    return {.name = name,
            .yaml_path = yaml_path,
            .default_note = "none",
            .used_by = worker,
            .rule = text("text", shown, check, field),
            .help = help};
}

Option urban_seconds(std::string_view name, std::string_view yaml_path, std::string_view default_text,
                     Milliseconds& (*field)(Config&), std::string_view help)
{
    return {.name = name,
            .yaml_path = yaml_path,
            .default_text = default_text,
            .used_by = worker,
            .rule = seconds(tick, hour, field),
            .help = help};
}

std::vector<Option> task_options()
{
    return {
        service_url(
            "REVENUE_SERVICE_URL", "services.revenue_url", "http://revenue-service:8001/revenue",
            [](Config & c) -> auto& { return c.tasks.revenue_url; }),
        service_url(
            "REBATES_SERVICE_URL", "services.rebates_url", "http://rebates-service:8002/rebates",
            [](Config & c) -> auto& { return c.tasks.rebates_url; }),
        service_url(
            "SPECIALTY_SERVICE_URL", "services.specialty_url", "http://specialty-service:8003/specialty",
            [](Config & c) -> auto& { return c.tasks.specialty_url; }),
        {.name = "SERVICE_TIMEOUT_SECONDS",
         .yaml_path = "services.timeout_seconds",
         .default_text = "30",
         .used_by = worker,
         .rule = seconds(
             tick, hour, [](Config & c) -> auto& { return c.tasks.call_timeout; }),
         .help = "Time for one try of a call of a task's service."},
        {.name = "EVENT_HUB_MODE",
         .yaml_path = "event_hub.mode",
         .default_note = "http, or what USE_HTTP or USE_KAFKA says",
         .used_by = api | worker | consumer,
         .rule = one_of<EventHubMode>(
             {{"http", EventHubMode::http}, {"kafka", EventHubMode::kafka}, {"amqp", EventHubMode::amqp}}, {},
             [](Config & c) -> auto& { return c.event_hub.mode; }),
         .help = "Transport of orchestrated tasks."},
        {.name = "USE_HTTP",
         .yaml_path = "event_hub.use_http",
         .default_text = "false",
         .used_by = api | worker | consumer,
         .rule = boolean([](Config & c) -> auto& { return c.event_hub.legacy_use_http; }),
         .help = "Older form of EVENT_HUB_MODE=http; wins over USE_KAFKA."},
        {.name = "USE_KAFKA",
         .yaml_path = "event_hub.use_kafka",
         .default_text = "false",
         .used_by = api | worker | consumer,
         .rule = boolean([](Config & c) -> auto& { return c.event_hub.legacy_use_kafka; }),
         .help = "Older form of EVENT_HUB_MODE=kafka."},
        {.name = "EVENT_HUB_URL",
         .yaml_path = "event_hub.url",
         .default_note = "none",
         .used_by = worker | consumer,
         .rule = text(
             "amqp(s) URL without parameters", Shown::url, check_amqp_url,
             [](Config & c) -> auto& { return c.event_hub.url; }),
         .help = "AMQP broker of EVENT_HUB_MODE=amqp: amqp[s]://[USER[:PASSWORD]@]HOST[:PORT][/VHOST]."},
        {.name = "EVENT_HUB_NAME",
         .yaml_path = "event_hub.name",
         .default_text = "orchestrator-events",
         .used_by = worker | consumer,
         .rule = text(
             "queue name", Shown::plain, check_topic, [](Config & c) -> auto& { return c.event_hub.queue; }),
         .help = "Queue of that broker; it is declared, durable."},
        {.name = "EVENT_HUB_PATIENCE_SECONDS",
         .yaml_path = "event_hub.patience_seconds",
         .default_text = "30",
         .used_by = api | worker | consumer,
         .rule = seconds(
             tick, day, [](Config & c) -> auto& { return c.event_hub.patience; }),
         .help = "How long a task waits for the hub to deliver it; then it is carried out without."},
    };
}

std::vector<Option> urban_options()
{
    return {
        {.name = "URBAN_API_URL",
         .aliases = {"URBAN_API_HOST"},
         .yaml_path = "urban_api.host",
         .default_note = "none",
         .used_by = worker,
         .rule = text(
             "http(s) URL or host", Shown::url, check_base_url,
             [](Config & c) -> auto& { return c.urban_api.endpoint.url; }),
         .help = "Where base scenarios are created."},
        urban_seconds(
            "URBAN_API_TIMEOUT_SECONDS", "urban_api.operation_timeout_seconds", "60",
            [](Config & c) -> auto& { return c.urban_api.endpoint.timeout; },
            "Time for one try of a call of the Urban API."),
        {.name = "URBAN_API_MAX_ATTEMPTS",
         .yaml_path = "urban_api.max_attempts",
         .default_text = "20",
         .used_by = worker,
         .rule = integer(
             1, 100, [](Config & c) -> auto& { return c.urban_api.endpoint.attempts_max; }),
         .help = "Failed tries of a call before its workflow fails; 20 last for about half an hour."},
        urban_text(
            "URBAN_API_TOKEN", "urban_api.api_token", Shown::secret, check_secret,
            [](Config & c) -> auto& { return c.urban_api.endpoint.bearer.token; },
            "Bearer token of the Urban API."),
        urban_text(
            "URBAN_API_AUTH_URL", "urban_api.auth.auth_server_url", Shown::url, check_base_url,
            [](Config & c) -> auto& { return c.urban_api.auth_server_url; },
            "Server that grants tokens for client credentials (OAuth2), in place of a token."),
        urban_text(
            "URBAN_API_AUTH_REALM", "urban_api.auth.realm", Shown::plain, check_topic,
            [](Config & c) -> auto& { return c.urban_api.realm; }, "Realm of that server."),
        urban_text(
            "URBAN_API_CLIENT_ID", "urban_api.auth.client_id", Shown::plain, check_secret,
            [](Config & c) -> auto& { return c.urban_api.endpoint.bearer.client_id; },
            "Client of that realm."),
        urban_text(
            "URBAN_API_CLIENT_SECRET", "urban_api.auth.client_secret", Shown::secret, check_secret,
            [](Config & c) -> auto& { return c.urban_api.endpoint.bearer.client_secret; },
            "Secret of that client."),
        urban_text(
            "URBAN_API_SCOPE", "urban_api.auth.scope", Shown::plain, check_any,
            [](Config & c) -> auto& { return c.urban_api.endpoint.bearer.scope; },
            "Scope that is asked for."),
        urban_seconds(
            "URBAN_API_AUTH_TIMEOUT_SECONDS", "urban_api.auth.request_timeout_seconds", "10",
            [](Config & c) -> auto& { return c.urban_api.endpoint.bearer.timeout; },
            "Time for one request of a token."),
        urban_seconds(
            "URBAN_API_REFRESH_SECONDS", "urban_api.auth.refresh_before_expiry_seconds", "30",
            [](Config & c) -> auto& { return c.urban_api.endpoint.bearer.refresh_before; },
            "How long before it expires a token is replaced."),
    };
}

}  // namespace

std::vector<Option> orchestrator_options()
{
    auto table = task_options();
    for (auto& row : urban_options()) table.push_back(std::move(row));
    return table;
}

}  // namespace infra::config
