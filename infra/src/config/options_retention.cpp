#include "config/option.hpp"
#include "config/rules.hpp"

// How long things are kept.
namespace infra::config {
namespace {

constexpr double days_max = 36'500;

}  // namespace

std::vector<Option> retention_options()
{
    return {
        {.name = "RETENTION_EVENTS_DAYS",
         .yaml_path = "retention.events_days",
         .default_text = "0",
         .used_by = api,
         .rule = days(
             days_max, [](Config & c) -> auto& { return c.retention.policy.events; }),
         .help = "Events older than this are removed, a day at a time; 0 = kept for ever."},
        {.name = "RETENTION_OUTBOX_DAYS",
         .yaml_path = "retention.outbox_days",
         .default_text = "7",
         .used_by = api,
         .rule = days(
             days_max, [](Config & c) -> auto& { return c.retention.policy.outbox; }),
         .help = "Messages that every subscription has behind it are removed after this; 0 = kept for ever."},
        {.name = "RETENTION_DEAD_LETTERS_DAYS",
         .yaml_path = "retention.dead_letters_days",
         .default_text = "90",
         .used_by = api,
         .rule = days(
             days_max, [](Config & c) -> auto& { return c.retention.policy.dead_letters; }),
         .help = "Dead letters are removed this long after they died; 0 = kept for ever."},
        {.name = "RETENTION_QUARANTINE_DAYS",
         .yaml_path = "retention.quarantine_days",
         .default_text = "90",
         .used_by = api,
         .rule = days(
             days_max, [](Config & c) -> auto& { return c.retention.policy.quarantine; }),
         .help = "What is in quarantine is removed after this; 0 = kept for ever."},
        {.name = "RETENTION_INTERVAL_SECONDS",
         .yaml_path = "retention.interval_seconds",
         .default_text = "300",
         .used_by = api,
         .rule = seconds(
             0.05, 86'400, [](Config & c) -> auto& { return c.retention.interval; }),
         .help = "Pause between two looks at what may be removed."},
    };
}

}  // namespace infra::config
