#pragma once

#include "app/ingest.hpp"

#include <functional>
#include <string_view>

// CloudEvents 1.0, whatever carries them: over HTTP and Kafka the attributes stand in headers (binary mode)
// or in the event itself (structured mode).
namespace app {

// Gives a context attribute by its name, "" when absent.
using CloudAttribute = std::function<std::string_view(std::string_view name)>;

// id = the dedupe key, time = when it happened, traceparent and tracestate = the trace. Fails where a
// required attribute is missing or malformed.
domain::Result<Envelope> cloud_envelope(const CloudAttribute& attribute);

struct CloudEvent {
    domain::JsonDocument data;
    Envelope envelope;
};

// Structured mode. The data points into the document's text.
domain::Result<CloudEvent> unwrap_cloud_event(const domain::JsonDocument& document);

}  // namespace app
