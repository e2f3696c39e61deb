#include "app/decode_message.hpp"

#include "app/cloud_event.hpp"

#include <boost/json.hpp>

#include <algorithm>

namespace app {
namespace {

using domain::RejectReason;
using domain::StreamMessage;

constexpr std::string_view structured_mode = "application/cloudevents+json";

bool is_structured(const StreamMessage& message)
{
    return message.header("content-type").starts_with(structured_mode);
}

bool is_binary_cloud_event(const StreamMessage& message)
{
    return !message.header("ce_specversion").empty() || !message.header("ce_id").empty();
}

std::string message_id(const StreamMessage& message)
{
    for (const std::string_view name : {"message-id", "message_id", "idempotency-key"}) {
        if (const auto id = message.header(name); !id.empty()) return std::string(id);
    }
    return {};
}

domain::Result<Envelope> envelope_of(const StreamMessage& message)
{
    if (!is_binary_cloud_event(message)) return Envelope{message_id(message)};
    return cloud_envelope(
        [&message](std::string_view name) { return message.header("ce_" + std::string(name)); });
}

// Length of the UTF-8 sequence at `at`, or 0 where there is none (RFC 3629: no overlong forms, no
// surrogates).
std::size_t utf8_length(std::string_view text, std::size_t at)
{
    const auto byte = [&](std::size_t i) {
        return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0U;
    };
    const auto tail = [&](std::size_t i) { return (byte(i) & 0xC0U) == 0x80U; };
    const unsigned first = byte(0);
    if (first < 0x80) return 1;
    if (first >= 0xC2 && first <= 0xDF) return tail(1) ? 2 : 0;
    if (first >= 0xE0 && first <= 0xEF) {
        if (!tail(1) || !tail(2)) return 0;
        if (first == 0xE0 && byte(1) < 0xA0) return 0;
        return first == 0xED && byte(1) > 0x9F ? 0 : 3;
    }
    if (first >= 0xF0 && first <= 0xF4) {
        if (!tail(1) || !tail(2) || !tail(3)) return 0;
        if (first == 0xF0 && byte(1) < 0x90) return 0;
        return first == 0xF4 && byte(1) > 0x8F ? 0 : 4;
    }
    return 0;
}

// What jsonb can hold: valid UTF-8 without NUL.
std::string storable(std::string_view text)
{
    std::string out;
    for (std::size_t at = 0; at < text.size();) {
        const auto length = text[at] == '\0' ? 0 : utf8_length(text, at);
        if (length == 0) {
            out += "\xEF\xBF\xBD";
            ++at;
        } else {
            out += text.substr(at, length);
            at += length;
        }
    }
    return out;
}

}  // namespace

DecodeMessage::DecodeMessage(const PrepareEvent& prepare, RecordDecoder& records, domain::RouteTable routes,
                             std::size_t value_bytes_max, EnterTrace enter_trace)
    : prepare_(prepare),
      records_(records),
      routes_(std::move(routes)),
      value_bytes_max_(value_bytes_max),
      enter_trace_(std::move(enter_trace))
{
}

Decoded DecodeMessage::operator()(const StreamMessage& message) const
{
    if (!message.value || message.value->empty()) {
        return Rejected{RejectReason::no_value, "the message has no value", routes_.service_of(message, {})};
    }
    const std::string& value = *message.value;
    if (value.size() > value_bytes_max_) {
        return Rejected{RejectReason::too_large, "the message is larger than INGEST_BODY_BYTES_MAX",
                        routes_.service_of(message, {})};
    }
    if (value.front() != '\0') {
        // Control characters open no JSON text: somebody's binary format, of which we know one.
        const bool binary = static_cast<unsigned char>(value.front()) < 0x09;
        if (!binary) return decode_json(message, value, {});
        return Rejected{RejectReason::bad_magic, "the first byte is neither JSON nor the Avro frame's zero",
                        routes_.service_of(message, {})};
    }
    auto record = records_.decode(value);
    if (auto* fault = std::get_if<RecordFault>(&record)) {
        return Rejected{fault->reason, std::move(fault->detail), routes_.service_of(message, {})};
    }
    if (std::holds_alternative<RegistryUnavailable>(record)) return RegistryUnavailable{};
    const auto& decoded = std::get<DecodedRecord>(record);
    return decode_json(message, decoded.json, decoded.name);
}

Decoded DecodeMessage::decode_json(const StreamMessage& message, std::string_view text,
                                   std::string_view record) const
{
    auto document = domain::parse_json(text);
    if (!document) {
        return Rejected{RejectReason::not_json, document.error().detail, routes_.service_of(message, record)};
    }
    if (record.empty() && is_structured(message)) {
        auto event = unwrap_cloud_event(*document);
        if (event) return prepare(message, record, event->data, std::move(event->envelope));
        return Rejected{RejectReason::bad_envelope, event.error().detail,
                        routes_.service_of(message, record)};
    }
    auto envelope = envelope_of(message);
    if (envelope) return prepare(message, record, *document, std::move(*envelope));
    return Rejected{RejectReason::bad_envelope, envelope.error().detail, routes_.service_of(message, record)};
}

Decoded DecodeMessage::prepare(const StreamMessage& message, std::string_view record,
                               const domain::JsonDocument& document, Envelope envelope) const
{
    auto service = routes_.service_of(message, record);
    if (service.empty())
        return Rejected{RejectReason::no_service, "no service could be told for the message"};
    if (!prepare_.knows(service)) {
        return Rejected{RejectReason::unknown_service, "the service is unknown", std::move(service)};
    }
    auto trace = domain::parse_trace_context(message.header("traceparent"), message.header("tracestate"));
    if (!trace.parent.empty()) envelope.trace = std::move(trace);
    auto event = prepare_.prepare(service, document, envelope);
    if (event) {
        if (enter_trace_) event->trace = enter_trace_(message, std::move(event->trace));
        return std::move(*event);
    }
    const auto& fault = event.error();
    return Rejected{RejectReason::invalid, fault.detail, std::move(service),
                    fault.fields.empty() ? "" : field_errors_json(fault.fields)};
}

std::string headers_json(const std::vector<std::pair<std::string, std::string>>& headers)
{
    boost::json::array array;
    for (const auto& [name, text] : headers) {
        array.push_back(
            boost::json::array{boost::json::string(storable(name)), boost::json::string(storable(text))});
    }
    return boost::json::serialize(array);
}

}  // namespace app
