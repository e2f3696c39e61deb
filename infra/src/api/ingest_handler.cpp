#include "api/ingest_handler.hpp"

#include "api/answers.hpp"
#include "api/ingest_request.hpp"
#include "pg/quarantine_queries.hpp"

#include <boost/json.hpp>

#include <memory>

namespace infra::api {
namespace {

namespace json = boost::json;
using domain::Fault;

http::Response kept_response(const Fault& fault, const domain::Uuid& quarantine_id)
{
    auto response = fault_response(fault);
    auto body = json::parse(response.body).as_object();
    body["quarantine_id"] = domain::to_string(quarantine_id);
    response.body = json::serialize(body);
    return response;
}

std::string item_error(const Fault& fault, const std::optional<domain::Uuid>& quarantine_id = {})
{
    json::object error{{"status", 422}, {"detail", fault.detail}};
    if (!fault.fields.empty()) error["errors"] = json::parse(app::field_errors_json(fault.fields));
    if (quarantine_id) error["quarantine_id"] = domain::to_string(*quarantine_id);
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
    bool batch = false;
    std::vector<std::optional<Fault>> faults;  // one an item; empty = it went to the event log
    std::vector<pg::RefusedEvent> refused;     // one a fault with fields, for the quarantine
    http::Reply reply;

    using KeptIds = std::vector<std::optional<domain::Uuid>>;  // one an entry of `refused`, or none at all

    http::Response response(const app::AppendedEvents& events, const KeptIds& kept) const
    {
        return batch ? batch_response(events, kept) : single_response(events, kept);
    }

private:
    http::Response single_response(const app::AppendedEvents& events, const KeptIds& kept) const
    {
        if (const auto& fault = faults.front()) {
            const bool is_kept = !kept.empty() && kept.front();
            return is_kept ? kept_response(*fault, *kept.front()) : fault_response(*fault);
        }
        const auto& stored = events.front();
        if (!stored) return fault_response(refused_by_database());
        http::Response response;
        response.body = app::answer_json(*stored);
        if (stored->replayed) response.headers.push_back({"Idempotent-Replayed", "true"});
        return response;
    }

    http::Response batch_response(const app::AppendedEvents& events, const KeptIds& kept) const
    {
        std::string results;
        auto event = events.begin();
        auto id = kept.begin();
        bool any_stored = false;
        bool all_replayed = true;
        for (const auto& fault : faults) {
            results += results.empty() ? "" : ",";
            if (fault) {
                const bool has_id = !fault->fields.empty() && id != kept.end();
                results += item_error(*fault, has_id ? *id++ : std::nullopt);
            } else if (const auto& stored = *event++) {
                any_stored = true;
                all_replayed = all_replayed && stored->replayed;
                results += app::answer_json(*stored, true);
            } else {
                results += item_error(refused_by_database());
            }
        }
        http::Response response;
        if (any_stored) {
            response.body = R"({"results":[)" + results + "]}";
            if (all_replayed) response.headers.push_back({"Idempotent-Replayed", "true"});
        } else {
            response =
                http::problem(422, faults.empty() ? "the batch is empty" : "no item of the batch was stored");
            response.body.pop_back();
            response.body += R"(,"results":[)" + results + "]}";
        }
        return response;
    }
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
        auto prepared = item.document ? prepare_.prepare(work->service, *item.document, item.envelope)
                                      : domain::Result<domain::PreparedEvent>(item.document.error());
        if (prepared) {
            events.push_back(std::move(*prepared));
            work->faults.emplace_back();
            continue;
        }
        const auto& fault = work->faults.emplace_back(prepared.error());
        if (fault->fields.empty()) continue;
        work->refused.push_back({std::string(item.document->text), app::field_errors_json(fault->fields),
                                 std::move(item.envelope)});
    }
    if (events.empty()) return answer(work, {});
    log_.append(std::move(events),
                [this, work](app::AppendResult result) { answer(work, std::move(result)); });
}

// The sender hears of a refusal once the event is kept. Where the database is down, what was stored is
// answered all the same, and a request of which nothing was is to be sent again.
void IngestHandler::answer(const std::shared_ptr<const Work>& work, app::AppendResult result) const
{
    if (result.refusal) return work->reply(refusal_response(*result.refusal));
    count(*work, result.events);
    if (work->refused.empty()) return work->reply(work->response(result.events, {}));
    auto events = std::make_shared<const app::AppendedEvents>(std::move(result.events));
    pool_.submit(
        [work, events](soci::session& session) {
            const auto ids = pg::keep_in_quarantine(session, work->service, work->refused);
            work->reply(work->response(*events, ids));
        },
        [work, events] {
            work->reply(events->empty() ? refusal_response(app::AppendRefusal::unavailable)
                                        : work->response(*events, {}));
        });
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
