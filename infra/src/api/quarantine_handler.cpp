#include "api/quarantine_handler.hpp"

#include "api/answers.hpp"
#include "api/paging.hpp"
#include "api/with_session.hpp"
#include "domain/service_registry.hpp"
#include "infra/kafka/routes.hpp"

#include <boost/json.hpp>

#include <algorithm>

namespace infra::api {
namespace {

namespace json = boost::json;

domain::Result<pg::QuarantineFilter> read_filter(const http::Request& request)
{
    pg::QuarantineFilter filter;
    for (const auto& [name, value] : request.query) {
        if (name == "service") {
            filter.service = value;
        } else if (name == "topic") {
            filter.topic = value;
        } else if (name == "reason") {
            filter.reason = value;
        } else if (name == "after") {
            filter.older_than = domain::parse_uuid(value);
            if (!filter.older_than) return domain::Fault{"after must be an id, as the page before gives it"};
        } else if (name == "limit") {
            const auto limit = parse_limit(value);
            if (!limit) return limit.error();
            filter.limit = *limit;
        } else {
            return domain::Fault{
                "there is no filter of this name; give service, topic, reason, after or limit"};
        }
    }
    return filter;
}

http::Response nothing_there() { return http::problem(404, "There is nothing in quarantine with this id"); }

http::Response rejection(const app::Rejected& rejected)
{
    auto response = http::problem(422, rejected.detail);
    auto body = json::parse(response.body).as_object();
    body["reason"] = domain::to_string(rejected.reason);
    if (!rejected.field_errors.empty()) body["errors"] = json::parse(rejected.field_errors);
    response.body = json::serialize(body);
    return response;
}

http::Response registry_unavailable()
{
    auto response = http::problem(503, "The schema registry is not available. Try again.");
    response.headers.push_back({"Retry-After", "1"});
    return response;
}

// A try that is repeated must not store a second event, whatever became of the first answer.
domain::PreparedEvent with_key(domain::PreparedEvent event, const domain::Uuid& id)
{
    if (!event.request_key.empty()) return event;
    event.request_key = "quarantine:" + domain::to_string(id);
    event.request_digest = domain::key_digest(event.service, event.request_key);
    return event;
}

app::Decoded to_decoded(domain::Result<domain::PreparedEvent> prepared, const std::string& service)
{
    if (prepared) return std::move(*prepared);
    const auto& fault = prepared.error();
    return app::Rejected{domain::RejectReason::invalid, fault.detail, service,
                         fault.fields.empty() ? "" : app::field_errors_json(fault.fields)};
}

}  // namespace

QuarantineHandler::QuarantineHandler(const Config& config, const app::PrepareEvent& prepare,
                                     app::EventLog& log, pg::QueryPool& pool)
    : prepare_(prepare),
      log_(log),
      pool_(pool),
      routes_(kafka::routes_of(config.kafka)),
      value_bytes_max_(config.ingest.body_bytes_max),
      records_(config.kafka.schema_registry_url)
{
}

void QuarantineHandler::list(const http::Request& request, const http::Reply& reply) const
{
    auto filter = read_filter(request);
    if (!filter) return reply(http::problem(422, filter.error().detail));
    with_session(pool_, reply, [filter = *filter, request](soci::session& session) {
        auto page = pg::list_quarantine(session, filter);
        auto response = json_text(std::move(page.json));
        if (page.full)
            response.headers.push_back({"Link", link_to(request, "after", domain::to_string(*page.last))});
        return response;
    });
}

void QuarantineHandler::show(const http::Request& request, const http::Reply& reply) const
{
    const auto id = domain::parse_uuid(request.captures.at(0));
    if (!id) return reply(http::problem(422, "an id is a UUID"));
    with_session(pool_, reply, [id = *id](soci::session& session) {
        auto text = pg::show_quarantined(session, id);
        return text ? json_text(std::move(*text)) : nothing_there();
    });
}

void QuarantineHandler::bytes(const http::Request& request, const http::Reply& reply) const
{
    const auto id = domain::parse_uuid(request.captures.at(0));
    if (!id) return reply(http::problem(422, "an id is a UUID"));
    with_session(pool_, reply, [id = *id](soci::session& session) {
        auto kept = pg::read_quarantined(session, id);
        if (!kept) return nothing_there();
        http::Response response;
        response.content_type = "application/octet-stream";
        // A browser must never take somebody's bytes for a page.
        response.headers.push_back({"X-Content-Type-Options", "nosniff"});
        response.headers.push_back({"Content-Disposition", "attachment"});
        response.body = std::move(kept->body);
        return response;
    });
}

app::Decoded QuarantineHandler::decode(const pg::KeptMessage& kept)
{
    if (!kept.message) {
        const auto document = domain::parse_json(kept.body);
        if (!document)
            return app::Rejected{domain::RejectReason::not_json, document.error().detail, kept.service};
        return to_decoded(prepare_.prepare(kept.service, *document, kept.envelope), kept.service);
    }
    auto routes = routes_;
    // Where this program knows nothing of the topic, the consumer's word on its service holds.
    if (!kept.service.empty()) {
        routes.topics.try_emplace(kept.message->partition.topic,
                                  domain::TopicRoute{domain::RouteBy::service, kept.service});
    }
    const std::lock_guard lock(records_mutex_);
    return app::DecodeMessage(prepare_, records_, std::move(routes), value_bytes_max_)(*kept.message);
}

void QuarantineHandler::remove(std::vector<domain::Uuid> ids, const http::Reply& reply,
                               const http::Response& response) const
{
    // Stored is stored: a row that stays because of an outage is found to be a repeat when it is tried again.
    pool_.submit(
        [ids = std::move(ids), reply, response](soci::session& session) {
            if (!ids.empty()) pg::remove_quarantined(session, ids);
            reply(response);
        },
        [reply, response] { reply(response); });
}

void QuarantineHandler::retry(const http::Request& request, const http::Reply& reply)
{
    const auto id = domain::parse_uuid(request.captures.at(0));
    if (!id) return reply(http::problem(422, "an id is a UUID"));
    pool_.submit(
        [this, id = *id, reply](soci::session& session) {
            const auto kept = pg::read_quarantined(session, id);
            if (!kept) return reply(nothing_there());
            store_one(*kept, reply);
        },
        [reply] { reply(database_unavailable()); });
}

void QuarantineHandler::store_one(const pg::KeptMessage& kept, const http::Reply& reply)
{
    auto decoded = decode(kept);
    if (const auto* rejected = std::get_if<app::Rejected>(&decoded)) return reply(rejection(*rejected));
    if (std::holds_alternative<app::RegistryUnavailable>(decoded)) return reply(registry_unavailable());
    std::vector<domain::PreparedEvent> events;
    events.push_back(with_key(std::get<domain::PreparedEvent>(std::move(decoded)), kept.id));
    log_.append(std::move(events), [this, id = kept.id, reply](app::AppendResult result) {
        if (result.refusal) return reply(database_unavailable());
        if (!result.events.front()) {
            return reply(rejection(
                {domain::RejectReason::refused_by_database, "the database cannot hold this event"}));
        }
        remove({id}, reply, json_text(app::answer_json(*result.events.front())));
    });
}

void QuarantineHandler::retry_matching(const http::Request& request, const http::Reply& reply)
{
    auto filter = read_filter(request);
    if (!filter) return reply(http::problem(422, filter.error().detail));
    pool_.submit(
        [this, filter = *filter, reply](soci::session& session) {
            const auto kept = pg::read_quarantine(session, filter);
            store_all(kept, static_cast<std::int64_t>(kept.size()) == filter.limit, reply);
        },
        [reply] { reply(database_unavailable()); });
}

void QuarantineHandler::store_all(const std::vector<pg::KeptMessage>& kept, bool full,
                                  const http::Reply& reply)
{
    std::vector<domain::PreparedEvent> events;
    std::vector<domain::Uuid> ids;
    for (const auto& each : kept) {
        auto decoded = decode(each);
        if (std::holds_alternative<app::RegistryUnavailable>(decoded)) return reply(registry_unavailable());
        auto* event = std::get_if<domain::PreparedEvent>(&decoded);
        if (event == nullptr) continue;
        events.push_back(with_key(std::move(*event), each.id));
        ids.push_back(each.id);
    }
    // `next` goes on behind the ones that failed again, which would otherwise be met first once more.
    const auto answer = [tried = kept.size(), next = full ? json::value(domain::to_string(kept.back().id))
                                                          : json::value()](std::size_t stored) {
        return json_text(json::serialize(
            json::object{{"tried", tried}, {"stored", stored}, {"failed", tried - stored}, {"next", next}}));
    };
    if (events.empty()) return reply(answer(0));
    log_.append(std::move(events), [this, ids, answer, reply](app::AppendResult result) {
        if (result.refusal) return reply(database_unavailable());
        std::vector<domain::Uuid> stored;
        for (std::size_t i = 0; i < ids.size(); ++i) {
            if (result.events[i]) stored.push_back(ids[i]);
        }
        const auto count = stored.size();
        remove(std::move(stored), reply, answer(count));
    });
}

}  // namespace infra::api
