#include "sinks/attributes.hpp"

#include "domain/ids.hpp"

namespace infra::sinks {

std::vector<Attribute> cloud_attributes(const domain::OutboxMessage& message, const std::string& subscription)
{
    std::vector<Attribute> attributes;
    attributes.reserve(6);
    attributes.push_back({"specversion", "1.0"});
    attributes.push_back({"id", domain::to_string(message.event_id)});
    attributes.push_back({"type", message.topic});
    attributes.push_back(
        {"source", "/polis/events/" + domain::to_string(domain::family_base(message.event_id))});
    attributes.push_back({"time", domain::format_time(domain::id_time(message.event_id))});
    if (!subscription.empty()) attributes.push_back({"subscription", subscription});
    return attributes;
}

std::vector<Attribute> trace_headers(const domain::OutboxMessage& message)
{
    std::vector<Attribute> headers;
    if (!message.trace.parent.empty()) headers.push_back({"traceparent", message.trace.parent});
    if (!message.trace.state.empty()) headers.push_back({"tracestate", message.trace.state});
    return headers;
}

}  // namespace infra::sinks
