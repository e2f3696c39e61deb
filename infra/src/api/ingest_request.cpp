#include "api/ingest_request.hpp"

#include "app/cloud_event.hpp"

#include <algorithm>

namespace infra::api {
namespace {

using domain::Fault;
using domain::JsonDocument;
using domain::Result;

std::string media_type(std::string_view content_type)
{
    std::string type(content_type.substr(0, content_type.find(';')));
    type.erase(std::remove_if(type.begin(), type.end(), [](char c) { return c == ' ' || c == '\t'; }),
               type.end());
    std::transform(type.begin(), type.end(), type.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; });
    return type;
}

bool is_json(const std::string& type)
{
    return type.empty() || type == "application/json" ||
           (type.starts_with("application/") && type.ends_with("+json"));
}

// The request's own key; for item i of a batch it is "key#i", so that a whole batch may be repeated safely.
std::string request_key(const http::Request& request)
{
    if (const auto* key = request.query_value("dedupe_key"); key != nullptr && !key->empty()) return *key;
    return std::string(request.header("Idempotency-Key"));
}

std::string item_key(const std::string& key, std::size_t index)
{
    return key.empty() ? key : key + "#" + std::to_string(index);
}

IngestItem unwrap(const Result<JsonDocument>& document)
{
    if (!document) return {document.error()};
    auto event = app::unwrap_cloud_event(*document);
    if (!event) return {event.error()};
    return {std::move(event->data), std::move(event->envelope)};
}

std::string_view without_blanks(std::string_view text)
{
    constexpr std::string_view blanks = " \t\r\n";
    const auto first = text.find_first_not_of(blanks);
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

Result<IngestItems> read_array(std::string_view body, const std::string& key, bool cloud)
{
    auto documents = domain::parse_json_array(body, app::batch_items_max);
    if (!documents) return documents.error();
    IngestItems result{{}, true};
    for (std::size_t i = 0; i < documents->size(); ++i) {
        auto& document = (*documents)[i];
        result.items.push_back(cloud ? unwrap(document)
                                     : IngestItem{std::move(document), {item_key(key, i)}});
    }
    return result;
}

Result<IngestItems> read_lines(std::string_view body, const std::string& key)
{
    IngestItems result{{}, true};
    while (!body.empty()) {
        const auto end = body.find('\n');
        const auto line = without_blanks(body.substr(0, end));
        body = end == std::string_view::npos ? std::string_view() : body.substr(end + 1);
        if (line.empty()) continue;
        if (result.items.size() == app::batch_items_max) return Fault{"more than 1000 items in one batch"};
        result.items.push_back({domain::parse_json(line), {item_key(key, result.items.size())}});
    }
    return result;
}

Result<IngestItems> read_items(const http::Request& request)
{
    const auto type = media_type(request.header("Content-Type"));
    const auto key = request_key(request);
    if (type == "application/x-ndjson") return read_lines(request.body, key);
    if (type == "application/cloudevents-batch+json") return read_array(request.body, key, true);
    if (!is_json(type)) return Fault{"the body must be JSON: send Content-Type: application/json"};
    if (type == "application/cloudevents+json")
        return IngestItems{{unwrap(domain::parse_json(request.body))}};
    if (!request.header("ce-id").empty() || !request.header("ce-specversion").empty()) {
        auto envelope = app::cloud_envelope(
            [&request](std::string_view name) { return request.header("ce-" + std::string(name)); });
        if (!envelope) return envelope.error();
        return IngestItems{{{domain::parse_json(request.body), std::move(*envelope)}}};
    }
    if (domain::looks_like_json_array(request.body)) return read_array(request.body, key, false);
    return IngestItems{{{domain::parse_json(request.body), {key}}}};
}

}  // namespace

Result<IngestItems> read_ingest_request(const http::Request& request)
{
    auto items = read_items(request);
    const auto trace =
        domain::parse_trace_context(request.header("traceparent"), request.header("tracestate"));
    if (!items || trace.parent.empty()) return items;
    for (auto& item : items->items) item.envelope.trace = trace;
    return items;
}

}  // namespace infra::api
