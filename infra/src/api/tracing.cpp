#include "api/tracing.hpp"

#include "http/names.hpp"

#include <algorithm>
#include <array>
#include <memory>

namespace infra::api {
namespace {

constexpr std::string_view traceparent = "traceparent";

bool is_worth_a_span(const http::Route& route)
{
    static constexpr std::array<std::string_view, 5> quiet{"/health", "/healthz", "/readyz", "/metrics",
                                                           "/events/stream"};
    const bool page = route.path.ends_with("{*}") || route.path == "/docs" || route.path == "/redoc" ||
                      route.path == "/console" || route.path == "/favicon.ico" ||
                      route.path == "/openapi.json";
    return !page && std::find(quiet.begin(), quiet.end(), route.path) == quiet.end();
}

void replace_traceparent(http::Request& request, const trace::Context& context)
{
    std::erase_if(request.headers,
                  [](const http::Header& header) { return http::same_name(header.name, traceparent); });
    request.headers.push_back({std::string(traceparent), trace::to_traceparent(context)});
}

}  // namespace

http::Handler traced(trace::Tracer& tracer, const http::Route& route)
{
    if (!is_worth_a_span(route)) return route.handler;
    return [&tracer, handler = route.handler, method = route.method, path = route.path](
               http::Request&& request, const http::Reply& reply) {
        const auto parent = trace::parse_traceparent(request.header(traceparent));
        const auto context = tracer.begin(parent);
        const trace::Scope scope(context);  // log lines have its id in any case
        if (trace::leaves_no_trace(parent, context)) return handler(std::move(request), reply);
        auto span = std::make_shared<trace::Span>();
        span->parent = parent;
        span->context = context;
        span->name = method + ' ' + path;
        span->kind = trace::Kind::server;
        span->start = std::chrono::system_clock::now();
        span->attributes = {{"http.request.method", method}, {"http.route", path}};
        replace_traceparent(request, span->context);
        handler(std::move(request), [&tracer, span, reply](http::Response response) {
            span->end = std::chrono::system_clock::now();
            span->attributes.push_back({"http.response.status_code", std::int64_t{response.status}});
            span->failed = response.status >= 500;
            reply(std::move(response));
            tracer.end(*span);
        });
    };
}

void TracedEventLog::append(std::vector<domain::PreparedEvent> events, Done done)
{
    const auto* parent = tracer_ == nullptr ? nullptr : trace::current();
    if (parent == nullptr || !parent->sampled) return log_.append(std::move(events), std::move(done));
    trace::Span span;
    span.parent = *parent;
    span.context = tracer_->begin(span.parent);
    span.name = "INSERT events";
    span.kind = trace::Kind::client;
    span.start = std::chrono::system_clock::now();
    span.attributes = {{"db.system.name", "postgresql"},
                       {"db.operation.batch.size", static_cast<std::int64_t>(events.size())}};
    log_.append(std::move(events), [tracer = tracer_, span = std::move(span),
                                    done = std::move(done)](app::AppendResult result) mutable {
        span.end = std::chrono::system_clock::now();
        span.failed = result.refusal.has_value();
        tracer->end(std::move(span));
        done(std::move(result));
    });
}

}  // namespace infra::api
