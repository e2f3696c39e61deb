#pragma once

#include "app/ingest.hpp"
#include "app/ports/record_decoder.hpp"
#include "domain/stream.hpp"

#include <functional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace app {

// Why a message cannot be an event, and of which service it would have been ("" = unknown).
struct Rejected {
    domain::RejectReason reason{};
    std::string detail;
    std::string service = {};
    std::string field_errors = {};  // JSON array
};

using Decoded = std::variant<domain::PreparedEvent, Rejected, RegistryUnavailable>;

// From a message of a stream to a prepared event: JSON or an Avro frame (a first byte of zero, which no JSON
// text has), plain or as a CloudEvent in either mode. The dedupe key is a CloudEvent's id, else the header
// message-id or idempotency-key. The trace is that of the headers traceparent and tracestate, else of the
// CloudEvent; `enter_trace` may put another one in its place, which is stored.
class DecodeMessage {
public:
    using EnterTrace =
        std::function<domain::TraceContext(const domain::StreamMessage& message, domain::TraceContext trace)>;

    DecodeMessage(const PrepareEvent& prepare, RecordDecoder& records, domain::RouteTable routes,
                  std::size_t value_bytes_max, EnterTrace enter_trace = {});

    // May block on the registry.
    Decoded operator()(const domain::StreamMessage& message) const;

private:
    Decoded decode_json(const domain::StreamMessage& message, std::string_view text,
                        std::string_view record) const;
    Decoded prepare(const domain::StreamMessage& message, std::string_view record,
                    const domain::JsonDocument& document, Envelope envelope) const;

    const PrepareEvent& prepare_;
    RecordDecoder& records_;
    const domain::RouteTable routes_;
    const std::size_t value_bytes_max_;
    const EnterTrace enter_trace_;
};

// [["name","text"],...]: header names may repeat. Bytes that are not UTF-8 become U+FFFD.
std::string headers_json(const std::vector<std::pair<std::string, std::string>>& headers);

}  // namespace app
