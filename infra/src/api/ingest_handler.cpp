#include "api/ingest_handler.hpp"

#include "api/answers.hpp"
#include "api/ingest_request.hpp"
#include "pg/event_queries.hpp"

#include <boost/json.hpp>

#include <memory>

namespace infra::api {
namespace {

namespace json = boost::json;
using domain::Fault;

http::Response fault_response(const Fault& fault, const std::optional<domain::Uuid>& quarantine_id = {})
{
    auto response = http::problem(422, fault.detail);
    if (fault.fields.empty()) return response;
    auto body = json::parse(response.body).as_object();
    body["errors"] = json::parse(app::field_errors_json(fault.fields));
    if (quarantine_id) body["quarantine_id"] = domain::to_string(*quarantine_id);
    response.body = json::serialize(body);
    return response;
}

std::string item_error(unsigned status, const Fault& fault)
{
    json::object error{{"status", status}, {"detail", fault.detail}};
    if (!fault.fields.empty()) error["errors"] = json::parse(app::field_errors_json(fault.fields));
    return json::serialize(json::object{{"error", std::move(error)}});
}

const Fault& refused_by_database()
{
    static const Fault fault{"the database cannot hold this event"};
    return fault;
}

}  // namespace

struct IngestHandler::Work {
    std::string service;
    std::string body;  // kept for the quarantine
    bool batch = false;
    std::vector<std::optional<Fault>> faults;  // one an item; empty = it went to the event log
    http::Reply reply;
};

void IngestHandler::operator()(http::Request&& request, http::Reply reply) const
{
    auto& service = request.captures.at(0);
    if (!domain::valid_service_name(service)) {
        return reply(http::problem(422, "a service name is 1 to 100 of A-Z a-z 0-9 . _ -"));
    }
    if (!prepare_.knows(service)) return reply(http::problem(404, "Unknown service"));
    auto read = read_ingest_request(request);
    if (!read) return reply(fault_response(read.error()));
    auto work = std::make_shared<Work>();
    work->service = std::move(service);
    work->batch = read->batch;
    work->reply = std::move(reply);
    std::vector<domain::PreparedEvent> events;
    for (auto& item : read->items) {
        auto prepared = item.document
                            ? prepare_.prepare(work->service, *item.document, std::move(item.envelope))
                            : domain::Result<domain::PreparedEvent>(item.document.error());
        if (prepared) {
            events.push_back(std::move(*prepared));
            work->faults.emplace_back();
        } else {
            work->faults.emplace_back(prepared.error());
        }
    }
    for (const auto& fault : work->faults) {
        if (!fault || fault->fields.empty()) continue;
        work->body = std::move(request.body);
        break;
    }
    if (events.empty()) return answer(*work, {});
    log_.append(std::move(events),
                [this, work](app::AppendResult result) { answer(*work, std::move(result)); });
}

void IngestHandler::answer(const Work& work, app::AppendResult result) const
{
    if (result.refusal) return work.reply(refusal_response(*result.refusal));
    count(work, result.events);
    if (!work.batch) {
        if (const auto& fault = work.faults.front()) {
            return fault->fields.empty() ? work.reply(fault_response(*fault)) : quarantine(work, *fault);
        }
        const auto& stored = result.events.front();
        if (!stored) return work.reply(fault_response(refused_by_database()));
        http::Response response;
        response.body = app::answer_json(*stored);
        if (stored->replayed) response.headers.push_back({"Idempotent-Replayed", "true"});
        return work.reply(std::move(response));
    }
    std::string results;
    std::size_t next = 0;
    bool any_stored = false;
    bool all_replayed = true;
    const Fault* to_keep = nullptr;
    for (const auto& fault : work.faults) {
        results += results.empty() ? "" : ",";
        const auto* stored = fault ? nullptr : &result.events[next++];
        if (stored != nullptr && *stored) {
            any_stored = true;
            all_replayed = all_replayed && (*stored)->replayed;
            results += app::answer_json(**stored, true);
        } else {
            if (fault && !fault->fields.empty()) to_keep = &*fault;
            results += item_error(422, fault ? *fault : refused_by_database());
        }
    }
    http::Response response;
    if (any_stored) {
        response.body = R"({"results":[)" + results + "]}";
        if (all_replayed) response.headers.push_back({"Idempotent-Replayed", "true"});
    } else {
        response = http::problem(
            422, work.faults.empty() ? "the batch is empty" : "no item of the batch was stored");
        response.body.pop_back();
        response.body += R"(,"results":[)" + results + "]}";
    }
    if (to_keep == nullptr) return work.reply(std::move(response));
    auto keep = [service = work.service, body = work.body, errors = app::field_errors_json(to_keep->fields),
                 response, reply = work.reply](soci::session& session) {
        pg::keep_in_quarantine(session, service, body, errors);
        reply(response);
    };
    pool_.submit(std::move(keep), [reply = work.reply, response] { reply(response); });
}

// The sender hears of the refusal once the body is kept; a database that is down makes it a 503.
void IngestHandler::quarantine(const Work& work, const domain::Fault& fault) const
{
    auto reply = work.reply;
    pool_.submit(
        [service = work.service, body = work.body, fault, reply](soci::session& session) {
            const auto id =
                pg::keep_in_quarantine(session, service, body, app::field_errors_json(fault.fields));
            reply(fault_response(fault, id));
        },
        [reply] { reply(refusal_response(app::AppendRefusal::unavailable)); });
}

void IngestHandler::count(const Work& work, const app::AppendedEvents& events) const
{
    const std::string_view label =
        registry_.find(work.service) != nullptr ? std::string_view(work.service) : "other";
    std::size_t stored = 0;
    std::size_t derived = 0;
    for (const auto& event : events) {
        if (!event || event->replayed) continue;
        ++stored;
        derived += event->derived.size() - event->suppressed.size();
    }
    if (stored > 0) metrics_.events_stored(label, stored);
    if (derived > 0) metrics_.events_derived(label, derived);
}

}  // namespace infra::api
