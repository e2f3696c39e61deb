#include "api/dead_letters_handler.hpp"

#include "api/answers.hpp"
#include "api/paging.hpp"
#include "api/with_session.hpp"
#include "domain/json.hpp"
#include "pg/dead_letter_queries.hpp"

#include <boost/json.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

namespace infra::api {
namespace {

namespace json = boost::json;
using domain::Fault;
using domain::Result;

constexpr double rate_max = 10'000;

// The members of a filter by the names that clients use.
constexpr std::array<std::pair<std::string_view, std::string pg::DeadLetterFilter::*>, 5> filter_members{
    {{"subscription", &pg::DeadLetterFilter::subscription},
     {"topic", &pg::DeadLetterFilter::topic},
     {"reason", &pg::DeadLetterFilter::reason},
     {"since", &pg::DeadLetterFilter::since},
     {"until", &pg::DeadLetterFilter::until}}};

std::optional<Fault> filter_fault(const pg::DeadLetterFilter& filter)
{
    for (const auto& [name, text] : {std::pair{"since", &filter.since}, std::pair{"until", &filter.until}}) {
        if (!text->empty() && !domain::parse_time(*text))
            return Fault{std::string(name) + " must be an RFC 3339 time, such as 2026-11-21T08:00:00Z"};
    }
    static constexpr std::array<std::string_view, 5> reasons{"", "destination", "poison", "ours", "parked"};
    if (std::find(reasons.begin(), reasons.end(), filter.reason) == reasons.end())
        return Fault{"reason must be destination, poison, ours or parked"};
    return std::nullopt;
}

http::Response accepted(std::string_view what, std::int64_t count)
{
    auto response =
        json_text(json::serialize(json::object{{json::string_view(what.data(), what.size()), count}}));
    response.status = 202;
    return response;
}

void list(pg::QueryPool& pool, const http::Request& request, const http::Reply& reply)
{
    pg::DeadLetterFilter filter;
    for (const auto& [name, member] : filter_members) {
        if (const auto* value = request.query_value(name)) filter.*member = *value;
    }
    const auto limit = limit_of(request);
    auto fault = filter_fault(filter);
    if (!fault && !limit) fault = limit.error();
    const auto* after = request.query_value("after");
    if (!fault && after != nullptr && !domain::parse_uuid(*after))
        fault = Fault{"after must be an id, as a Link header gives it"};
    if (fault) return reply(http::problem(422, fault->detail));
    with_session(
        pool, reply,
        [filter, limit = *limit, after = after == nullptr ? "" : *after, request](soci::session& session) {
            const auto rows = pg::read_dead_letters(session, filter, after, limit);
            auto response = json_text(json::serialize(rows));
            if (static_cast<std::int64_t>(rows.size()) == limit) {
                const auto& last = rows.back().at("id").as_string();
                response.headers.push_back({"Link", link_to(request, "after", {last.data(), last.size()})});
            }
            return response;
        });
}

http::Response unknown() { return http::problem(404, "There is no dead letter with this id"); }

void show(pg::QueryPool& pool, const http::Request& request, const http::Reply& reply)
{
    const auto& id = request.captures.at(0);
    if (!domain::parse_uuid(id)) return reply(http::problem(422, "the id of a dead letter is a UUID"));
    with_session(pool, reply, [id](soci::session& session) {
        const auto found = pg::read_dead_letter(session, id);
        return found ? json_text(json::serialize(*found)) : unknown();
    });
}

void replay_one(pg::QueryPool& pool, const http::Request& request, const http::Reply& reply)
{
    pg::DeadLetterFilter filter;
    filter.id = request.captures.at(0);
    if (!domain::parse_uuid(filter.id)) return reply(http::problem(422, "the id of a dead letter is a UUID"));
    with_session(pool, reply, [filter](soci::session& session) {
        const auto count = pg::replay_dead_letters(session, filter, std::nullopt);
        return count == 0 ? unknown() : accepted("replayed", count);
    });
}

struct ReplayRequest {
    pg::DeadLetterFilter filter;
    std::optional<double> rate_per_second = {};
};

Result<ReplayRequest> read_replay(const std::string& body)
{
    const auto document = domain::parse_json(body);
    if (!document) return document.error();
    const auto* object = document->value.if_object();
    if (object == nullptr) return Fault{"The body must be a JSON object"};
    ReplayRequest wanted;
    for (const auto& member : *object) {
        const std::string_view name(member.key().data(), member.key().size());
        const auto* const known = std::find_if(filter_members.begin(), filter_members.end(),
                                               [name](const auto& m) { return m.first == name; });
        if (name == "rate_per_second") {
            const double rate = member.value().is_number() ? member.value().to_number<double>() : 0;
            if (rate < 0.01 || rate > rate_max) return Fault{"rate_per_second must be 0.01 to 10000"};
            wanted.rate_per_second = rate;
        } else if (known == filter_members.end()) {
            return Fault{std::string(name) + " is not known"};
        } else if (!member.value().is_string()) {
            return Fault{std::string(name) + " must be a text"};
        } else {
            wanted.filter.*(known->second) = std::string(member.value().get_string());
        }
    }
    if (auto fault = filter_fault(wanted.filter)) return *std::move(fault);
    return wanted;
}

void replay_many(pg::QueryPool& pool, const http::Request& request, const http::Reply& reply)
{
    const auto wanted = read_replay(request.body);
    if (!wanted) return reply(http::problem(422, wanted.error().detail));
    with_session(pool, reply, [wanted = *wanted](soci::session& session) {
        return accepted("replayed", pg::replay_dead_letters(session, wanted.filter, wanted.rate_per_second));
    });
}

void list_blocked(pg::QueryPool& pool, const http::Request& request, const http::Reply& reply)
{
    const auto limit = limit_of(request);
    if (!limit) return reply(http::problem(422, limit.error().detail));
    const auto* subscription = request.query_value("subscription");
    with_session(
        pool, reply,
        [name = subscription == nullptr ? "" : *subscription, limit = *limit](soci::session& session) {
            return json_text(json::serialize(pg::read_blocked_keys(session, name, limit)));
        });
}

void unblock(pg::QueryPool& pool, const http::Request& request, const http::Reply& reply, pg::Unblock what)
{
    const auto& text = request.captures.at(1);
    std::int64_t key = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), key);
    if (error != std::errc{} || end != text.data() + text.size())
        return reply(http::problem(422, "a key is a whole number, as /outbox/blocked-keys gives it"));
    with_session(pool, reply, [name = request.captures.at(0), key, what](soci::session& session) {
        const auto count = pg::unblock_key(session, name, key, what);
        if (count == 0) return http::problem(404, "Nothing of this key waits");
        return accepted("parked", count);
    });
}

}  // namespace

void add_dead_letter_routes(http::Router& router, pg::QueryPool& pool)
{
    using Handle = void (*)(pg::QueryPool&, const http::Request&, const http::Reply&);
    const auto add = [&](const char* method, const char* path, Handle handle) {
        router.add(method, path, [&pool, handle](const http::Request& request, const http::Reply& reply) {
            handle(pool, request, reply);
        });
    };
    add("GET", "/outbox/dead-letters", list);
    add("GET", "/outbox/dead-letters/{id}", show);
    add("POST", "/outbox/dead-letters/{id}/replay", replay_one);
    add("POST", "/outbox/replays", replay_many);
    add("GET", "/outbox/blocked-keys", list_blocked);
    add("POST", "/outbox/blocked-keys/{subscription}/{key}/skip",
        [](auto& tasks, const auto& request, const auto& reply) {
            unblock(tasks, request, reply, pg::Unblock::skip);
        });
    add("POST", "/outbox/blocked-keys/{subscription}/{key}/park",
        [](auto& tasks, const auto& request, const auto& reply) {
            unblock(tasks, request, reply, pg::Unblock::park);
        });
}

}  // namespace infra::api
