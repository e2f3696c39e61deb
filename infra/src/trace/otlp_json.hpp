#pragma once

#include "infra/trace/span.hpp"

#include <span>
#include <string>
#include <string_view>

namespace infra::trace {

// ExportTraceServiceRequest of OTLP 1 in its JSON form: ids in hexadecimal, 64-bit integers as texts.
std::string otlp_json(std::span<const Span> spans, std::string_view service, std::string_view version);

}  // namespace infra::trace
