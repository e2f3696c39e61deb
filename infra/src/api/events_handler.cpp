#include "api/events_handler.hpp"

#include "api/answers.hpp"
#include "api/paging.hpp"
#include "api/with_session.hpp"
#include "domain/result.hpp"
#include "domain/service_registry.hpp"
#include "pg/event_queries.hpp"

#include <charconv>

namespace infra::api {
namespace {

using domain::Fault;
using domain::Result;

constexpr std::int64_t offset_max = 1'000'000;  // what lies deeper is for the cursor

Result<std::int64_t> whole_number(std::string_view name, std::string_view text)
{
    std::int64_t value = 0;
    const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (ec != std::errc{} || end != text.data() + text.size())
        return Fault{std::string(name) + " must be an integer"};
    if (value < 0) return Fault{std::string(name) + " must not be negative"};
    return value;
}

std::optional<Fault> read_number(const http::Request& request, std::string_view name, std::int64_t& target)
{
    const auto* text = request.query_value(name);
    if (text == nullptr) return std::nullopt;
    const auto value = whole_number(name, *text);
    if (!value) return value.error();
    target = *value;
    return std::nullopt;
}

std::optional<Fault> read_id(const http::Request& request, std::string_view name,
                             std::optional<domain::Uuid>& target)
{
    const auto* text = request.query_value(name);
    if (text == nullptr) return std::nullopt;
    target = domain::parse_uuid(*text);
    if (!target) return Fault{std::string(name) + " must be an id, as a Link header or an event gives it"};
    return std::nullopt;
}

std::optional<Fault> read_time(const http::Request& request, std::string_view name,
                               std::optional<domain::TimePoint>& target)
{
    const auto* text = request.query_value(name);
    if (text == nullptr) return std::nullopt;
    target = domain::parse_time(*text);
    if (!target) return Fault{std::string(name) + " must be an RFC 3339 time, such as 2026-11-21T08:00:00Z"};
    return std::nullopt;
}

Result<pg::EventFilter> read_filter(const http::Request& request)
{
    pg::EventFilter filter;
    for (const auto& fault :
         {read_number(request, "limit", filter.limit), read_number(request, "offset", filter.offset),
          read_id(request, "source_event_id", filter.source_event_id),
          read_id(request, "after", filter.older_than), read_id(request, "before", filter.newer_than),
          read_time(request, "since", filter.since), read_time(request, "until", filter.until)}) {
        if (fault) return *fault;
    }
    if (filter.older_than && filter.newer_than) return Fault{"give either after or before"};
    if (filter.offset > offset_max) return Fault{"offset is at most 1000000; follow the Link header instead"};
    if (const auto* service = request.query_value("service")) {
        if (!domain::valid_service_name(*service)) return Fault{"service is not a service name"};
        filter.service = *service;
    }
    return filter;
}

}  // namespace

void list_events(pg::QueryPool& pool, const http::Request& request, const http::Reply& reply)
{
    auto filter = read_filter(request);
    if (!filter) return reply(http::problem(422, filter.error().detail));
    if (filter->limit > page_rows_max)
        return reply(http::problem(400, "Limit must be less than or equal to 100"));
    with_session(pool, reply, [filter = *filter, request](soci::session& session) {
        auto page = pg::read_events(session, filter);
        auto response = json_text(std::move(page.json));
        const bool full = static_cast<std::int64_t>(page.ids.size()) == filter.limit || page.cut;
        if (full && !page.ids.empty()) {
            // Further in the direction that was asked for.
            const bool upwards = filter.newer_than.has_value();
            const auto& last = upwards ? page.ids.front() : page.ids.back();
            response.headers.push_back(
                {"Link", link_to(request, upwards ? "before" : "after", domain::to_string(last))});
        }
        return response;
    });
}

void show_event(pg::QueryPool& pool, const http::Request& request, const http::Reply& reply)
{
    const auto id = domain::parse_uuid(request.captures.at(0));
    if (!id) return reply(http::problem(422, "an event id is a UUID"));
    with_session(pool, reply, [id = *id](soci::session& session) {
        auto event = pg::read_event(session, id);
        return event ? json_text(*std::move(event)) : http::problem(404, "There is no event with this id");
    });
}

}  // namespace infra::api
