#include "domain/stream.hpp"

#include "domain/service_registry.hpp"

#include <algorithm>

namespace domain {
namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; }

bool same_name(std::string_view a, std::string_view b)
{
    return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                      [](char x, char y) { return lower(x) == lower(y); });
}

}  // namespace

std::size_t StreamMessage::bytes() const
{
    std::size_t total = sizeof(StreamMessage) + (key ? key->size() : 0) + (value ? value->size() : 0);
    for (const auto& [name, text] : headers) total += name.size() + text.size();
    return total;
}

std::string_view StreamMessage::header(std::string_view name) const
{
    for (auto at = headers.rbegin(); at != headers.rend(); ++at) {
        if (same_name(at->first, name)) return at->second;
    }
    return {};
}

std::optional<TopicRoute> parse_topic_route(std::string_view text)
{
    if (text == "record:") return TopicRoute{RouteBy::record, {}};
    constexpr std::string_view header = "header:";
    if (text.starts_with(header)) {
        text.remove_prefix(header.size());
        if (text.empty()) return std::nullopt;
        return TopicRoute{RouteBy::header, std::string(text)};
    }
    if (!valid_service_name(text)) return std::nullopt;
    return TopicRoute{RouteBy::service, std::string(text)};
}

std::string RouteTable::service_of(const StreamMessage& message, std::string_view record) const
{
    const auto topic = topics.find(message.partition.topic);
    if (topic == topics.end()) return {};
    if (topic->second.by == RouteBy::service) return topic->second.name;
    const std::string_view name =
        topic->second.by == RouteBy::record ? record : message.header(topic->second.name);
    if (const auto mapped = services.find(name); mapped != services.end()) return mapped->second;
    return valid_service_name(name) ? std::string(name) : std::string();
}

bool PartitionPosition::receive(std::int64_t offset)
{
    if (offset < received_) return false;
    received_ = offset + 1;
    return true;
}

Flow decide_flow(bool paused, std::size_t messages, std::size_t bytes, const FlowLimits& limits)
{
    if (!paused) {
        const bool full = messages >= limits.messages_max || bytes >= limits.bytes_max;
        return full ? Flow::pause : Flow::keep;
    }
    const bool half_free = messages <= limits.messages_max / 2 && bytes <= limits.bytes_max / 2;
    return half_free ? Flow::resume : Flow::keep;
}

std::string_view to_string(RejectReason reason)
{
    switch (reason) {
        case RejectReason::no_value:
            return "no_value";
        case RejectReason::too_large:
            return "too_large";
        case RejectReason::short_frame:
            return "short_frame";
        case RejectReason::bad_magic:
            return "bad_magic";
        case RejectReason::unknown_schema:
            return "unknown_schema";
        case RejectReason::bad_schema:
            return "bad_schema";
        case RejectReason::schema_mismatch:
            return "schema_mismatch";
        case RejectReason::bad_record:
            return "bad_record";
        case RejectReason::not_json:
            return "not_json";
        case RejectReason::bad_envelope:
            return "bad_envelope";
        case RejectReason::no_service:
            return "no_service";
        case RejectReason::unknown_service:
            return "unknown_service";
        case RejectReason::invalid:
            return "invalid";
        case RejectReason::refused_by_database:
            return "refused_by_database";
    }
    return "";
}

}  // namespace domain
