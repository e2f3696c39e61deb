#include "trace/otlp_json.hpp"

#include <boost/json.hpp>

namespace infra::trace {
namespace {

namespace json = boost::json;

json::string_view view(std::string_view text) { return {text.data(), text.size()}; }

struct AnyValue {
    json::object operator()(const std::string& text) const { return {{"stringValue", text}}; }
    json::object operator()(std::int64_t number) const { return {{"intValue", std::to_string(number)}}; }
    json::object operator()(double number) const { return {{"doubleValue", number}}; }
};

json::object key_value(std::string_view name, json::object value)
{
    return {{"key", view(name)}, {"value", std::move(value)}};
}

std::string nanoseconds(Time time)
{
    return std::to_string(
        std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count());
}

// Both ids are parts of the header's form.
void put_ids(json::object& out, const Context& context)
{
    const auto text = to_traceparent(context);
    out["traceId"] = text.substr(3, 32);
    out["spanId"] = text.substr(36, 16);
}

json::object span_json(const Span& span)
{
    constexpr int status_error = 2;
    json::object out;
    put_ids(out, span.context);
    if (span.parent) out["parentSpanId"] = to_traceparent(*span.parent).substr(36, 16);
    out["name"] = span.name;
    out["kind"] = static_cast<int>(span.kind);
    out["startTimeUnixNano"] = nanoseconds(span.start);
    out["endTimeUnixNano"] = nanoseconds(span.end);
    json::array attributes;
    for (const auto& [name, value] : span.attributes)
        attributes.push_back(key_value(name, std::visit(AnyValue{}, value)));
    out["attributes"] = std::move(attributes);
    json::array links;
    for (const auto& link : span.links) {
        json::object one;
        put_ids(one, link);
        links.push_back(std::move(one));
    }
    if (!links.empty()) out["links"] = std::move(links);
    if (span.failed) out["status"] = json::object{{"code", status_error}};
    return out;
}

}  // namespace

std::string otlp_json(std::span<const Span> spans, std::string_view service, std::string_view version)
{
    json::array all;
    for (const auto& span : spans) all.push_back(span_json(span));
    const json::object resource{
        {"attributes", json::array{key_value("service.name", AnyValue{}(std::string(service))),
                                   key_value("service.version", AnyValue{}(std::string(version)))}}};
    const json::object scope{{"scope", json::object{{"name", "polis"}}}, {"spans", std::move(all)}};
    return json::serialize(json::object{
        {"resourceSpans",
         json::array{json::object{{"resource", resource}, {"scopeSpans", json::array{scope}}}}}});
}

}  // namespace infra::trace
