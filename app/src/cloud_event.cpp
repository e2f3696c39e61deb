#include "app/cloud_event.hpp"

#include <string>

namespace app {
namespace {

using domain::Fault;
using domain::Result;

Fault attribute_fault(std::string_view name)
{
    return Fault{"CloudEvent attribute " + std::string(name) + " is missing or malformed"};
}

std::string_view text_member(const boost::json::object& object, std::string_view name)
{
    const auto* value = object.if_contains(name);
    return value != nullptr && value->is_string() ? std::string_view(value->get_string())
                                                  : std::string_view();
}

}  // namespace

Result<Envelope> cloud_envelope(const CloudAttribute& attribute)
{
    if (attribute("specversion") != "1.0") return attribute_fault("specversion");
    for (const std::string_view required : {"id", "source", "type"}) {
        if (attribute(required).empty()) return attribute_fault(required);
    }
    Envelope envelope{std::string(attribute("id"))};
    if (const std::string_view time = attribute("time"); !time.empty()) {
        envelope.occurred_at = domain::parse_time(time);
        if (!envelope.occurred_at) return attribute_fault("time");
    }
    // The extension "distributed tracing".
    envelope.trace = domain::parse_trace_context(attribute("traceparent"), attribute("tracestate"));
    return envelope;
}

Result<CloudEvent> unwrap_cloud_event(const domain::JsonDocument& document)
{
    const auto* event = document.value.if_object();
    if (event == nullptr) return Fault{"a CloudEvent must be a JSON object"};
    auto envelope = cloud_envelope([event](std::string_view name) { return text_member(*event, name); });
    if (!envelope) return envelope.error();
    const auto* data = event->if_contains("data");
    if (data == nullptr && event->contains("data_base64"))
        return Fault{"the CloudEvent has its data in data_base64; events are JSON: send the JSON in data"};
    if (data == nullptr) return Fault{"the CloudEvent has no data"};
    const auto text = domain::json_member_text(document.text, "data");
    if (!text) return Fault{"the CloudEvent's data cannot be read"};
    return CloudEvent{{*data, *text}, std::move(*envelope)};
}

}  // namespace app
