#include "infra/ingest_policy.hpp"

namespace infra {

app::IngestPolicy ingest_policy(const Config& config)
{
    app::IngestPolicy policy;
    policy.reject_unknown_services = config.ingest.unknown_services == UnknownServices::reject;
    policy.strict = [ingest = config.ingest](std::string_view service) {
        return ingest.validation_of(service) == Validation::strict;
    };
    policy.dedupe_window = [rules = config.rules](std::string_view rule) {
        return rules.dedupe_window_of(rule);
    };
    policy.publish_base_events = config.ingest.publish_base_events;
    return policy;
}

pg::EventWriterOptions writer_options(const Config& config, const domain::workflow::Registry* workflows)
{
    return {config.database.url, config.ingest.batch_rows_max, config.ingest.queue_rows_max,
            config.ingest.queue_bytes_max, workflows};
}

domain::workflow::Registry workflow_registry(const Config& config)
{
    domain::workflow::Registry registry;
    auto settings = config.workflows.settings;
    if (config.event_hub.mode != EventHubMode::http) settings.task_hub_patience = config.event_hub.patience;
    domain::workflow::register_builtin_workflows(registry, settings);
    return registry;
}

}  // namespace infra
