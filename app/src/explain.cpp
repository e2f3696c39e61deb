#include "app/explain.hpp"

#include "domain/coercion.hpp"

#include <boost/json.hpp>

namespace app {
namespace {

namespace json = boost::json;

json::value text_or_null(const std::string& text) { return text.empty() ? json::value() : json::value(text); }

json::object refusal(int status, const domain::Fault& fault)
{
    json::object out{{"would", "refuse"}, {"status", status}, {"detail", fault.detail}};
    if (!fault.fields.empty()) out["errors"] = json::parse(field_errors_json(fault.fields));
    return out;
}

// The sender's own text where nothing was changed, so that its numbers keep all their digits.
std::string normalized_text(const domain::PreparedEvent& event, const domain::JsonDocument& document)
{
    if (event.patch.empty()) return event.payload;
    auto merged = document.value.as_object();
    const auto patch = json::parse(event.patch);
    for (const auto& member : patch.as_object()) merged[member.key()] = member.value();
    return domain::json_text(merged);
}

json::object derived_json(const domain::PreparedDerived& derived)
{
    json::object out{{"service", derived.service},
                     {"topic", "event." + derived.service},
                     {"payload", json::parse(derived.payload)},
                     {"deduplication_key", derived.key}};
    // 0: a key with a missing part, or the window is switched off.
    out["suppression_window_seconds"] = std::chrono::duration<double>(derived.dedupe_window).count();
    return out;
}

std::string accepted(const domain::PreparedEvent& event, const domain::JsonDocument& document, bool known)
{
    json::array derived;
    json::array topics;
    if (event.publish_base) topics.emplace_back("event." + event.service);
    for (const auto& one : event.derived) {
        derived.push_back(derived_json(one));
        topics.emplace_back("event." + one.service);
    }
    json::object out{{"would", "store"},
                     {"status", 200},
                     {"service", event.service},
                     {"known_service", known},
                     {"deduplication_key", text_or_null(event.request_key)},
                     {"derived_events", std::move(derived)},
                     {"topics", std::move(topics)}};
    if (!event.validation_errors.empty()) out["validation_errors"] = json::parse(event.validation_errors);
    auto text = domain::json_text(out);
    text.pop_back();
    return text + R"(,"normalized_payload":)" + normalized_text(event, document) + "}";
}

}  // namespace

Explanation explain(const PrepareEvent& prepare, const domain::ServiceRegistry& registry,
                    std::string_view service, const domain::Result<domain::JsonDocument>& document,
                    const Envelope& envelope)
{
    if (!domain::valid_service_name(service))
        return {false, json::serialize(refusal(422, {"a service name is 1 to 100 of A-Z a-z 0-9 . _ -"}))};
    if (!prepare.knows(service)) return {false, json::serialize(refusal(404, {"Unknown service"}))};
    if (!document) return {false, json::serialize(refusal(422, document.error()))};
    const auto prepared = prepare.prepare(service, *document, envelope);
    if (!prepared) return {false, json::serialize(refusal(422, prepared.error()))};
    return {true, accepted(*prepared, *document, registry.find(service) != nullptr)};
}

}  // namespace app
