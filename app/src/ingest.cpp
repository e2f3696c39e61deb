#include "app/ingest.hpp"

#include <boost/json.hpp>

namespace app {
namespace {

namespace json = boost::json;

json::array ids_json(const std::vector<domain::Uuid>& ids)
{
    json::array array;
    for (const auto& id : ids) array.emplace_back(domain::to_string(id));
    return array;
}

}  // namespace

PrepareEvent::PrepareEvent(const domain::ServiceRegistry& registry, IngestPolicy policy,
                           const domain::workflow::Registry* workflows)
    : registry_(registry), policy_(std::move(policy)), workflows_(workflows)
{
}

bool PrepareEvent::knows(std::string_view service) const
{
    return !policy_.reject_unknown_services || registry_.find(service) != nullptr ||
           (workflows_ != nullptr && workflows_->listens_to(service));
}

domain::Result<domain::PreparedEvent> PrepareEvent::prepare(std::string_view service,
                                                            const domain::JsonDocument& document,
                                                            const Envelope& envelope) const
{
    const auto* payload = document.value.if_object();
    if (payload == nullptr) return domain::Fault{"the event must be a JSON object"};
    if (envelope.request_key.size() > request_key_bytes_max) {
        return domain::Fault{"the dedupe key is longer than 512 bytes"};
    }
    const auto& handler = registry_.find_or_pass_through(service);
    auto normalized = handler.normalizer->normalize(*payload);
    domain::PreparedEvent event;
    if (workflows_ != nullptr) {
        std::vector<std::string> without_id;
        event.triggers = workflows_->triggers_of(service, *payload, without_id);
        for (auto& field : without_id)
            normalized.errors.push_back({std::move(field), "must be a text or a whole number"});
    }
    if (!normalized.errors.empty() && policy_.strict(service)) {
        return domain::Fault{"the payload does not match the fields of this service",
                             std::move(normalized.errors)};
    }
    event.service = service;
    event.payload = document.text;
    if (!normalized.patch.empty()) event.patch = domain::json_text(normalized.patch);
    if (!normalized.errors.empty()) event.validation_errors = field_errors_json(normalized.errors);
    if (!envelope.request_key.empty())
        event.request_digest = domain::key_digest(service, envelope.request_key);
    event.request_key = envelope.request_key;
    event.occurred_at = envelope.occurred_at;
    event.trace = envelope.trace;
    event.publish_base = policy_.publish_base_events;
    for (auto& derived : handler.rules->evaluate({*payload, normalized.patch})) {
        event.derived.push_back(prepare_derived(std::move(derived)));
    }
    return event;
}

domain::PreparedEvent self_event(domain::workflow::Trigger trigger)
{
    domain::PreparedEvent event;
    event.service = domain::workflow::self_service;
    event.payload = domain::workflow::trigger_json(trigger);
    event.only_for_workflows = true;
    event.triggers.push_back(std::move(trigger));
    return event;
}

domain::PreparedDerived PrepareEvent::prepare_derived(domain::DerivedEvent event) const
{
    domain::PreparedDerived prepared;
    prepared.payload = domain::json_text(event.payload);
    if (event.key.complete) prepared.dedupe_window = policy_.dedupe_window(event.rule);
    prepared.digest = domain::key_digest(event.service, event.key.text);
    prepared.service = std::move(event.service);
    prepared.key = std::move(event.key.text);
    return prepared;
}

std::string field_errors_json(const std::vector<domain::FieldError>& errors)
{
    json::array array;
    for (const auto& error : errors) array.push_back({{"field", error.field}, {"message", error.message}});
    return json::serialize(array);
}

std::string answer_json(const domain::IngestAnswer& answer, bool show_replayed)
{
    json::object object{{"stored_event_id", domain::to_string(answer.event_id)},
                        {"derived_events", ids_json(answer.derived)}};
    // Parsed rather than pasted: what comes back from the database has other blanks than what went in.
    if (!answer.validation_errors.empty())
        object["validation_errors"] = json::parse(answer.validation_errors);
    if (!answer.suppressed.empty()) object["suppressed"] = ids_json(answer.suppressed);
    if (show_replayed && answer.replayed) object["replayed"] = true;
    return json::serialize(object);
}

}  // namespace app
