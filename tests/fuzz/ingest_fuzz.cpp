#include "api/ingest_request.hpp"
#include "app/ingest.hpp"
#include "domain/ingest.hpp"
#include "domain/service_registry.hpp"
#include "fuzz/fuzz.hpp"

#include <boost/json.hpp>
#include <doctest/doctest.h>

#include <utility>

namespace {

namespace json = boost::json;
using fuzz::Random;
using fuzz::require;
using infra::http::Request;

const std::vector<std::string>& content_types()
{
    static const std::vector<std::string> types{"application/json",
                                                "application/json; charset=utf-8",
                                                "APPLICATION/JSON",
                                                "application/x-ndjson",
                                                "application/cloudevents+json",
                                                "application/cloudevents-batch+json",
                                                "application/vnd.city+json",
                                                "text/plain",
                                                ""};
    return types;
}

// An input is the head, one "name: value" a line, an empty line, and the body. "?name: value" is a query
// parameter and
// "/" the service.
Request request_of(const std::string& input)
{
    Request request;
    std::size_t at = 0;
    while (at < input.size()) {
        const std::size_t end = std::min(input.find('\n', at), input.size());
        const std::string line = input.substr(at, end - at);
        at = end + 1;
        if (line.empty()) break;
        const std::size_t colon = std::min(line.find(": "), line.size());
        const std::string name = line.substr(0, colon);
        const std::string value = colon == line.size() ? "" : line.substr(colon + 2);
        if (name.starts_with('?')) {
            request.query.emplace_back(name.substr(1), value);
        } else if (name == "/") {
            request.captures = {value};
        } else {
            request.headers.push_back({name, value});
        }
    }
    if (request.captures.empty()) request.captures = {"energy"};
    if (at < input.size()) request.body = input.substr(at);
    return request;
}

// Often one that a rule fires on, with a field that is anything.
std::string random_event(Random& random)
{
    static const std::vector<std::string> events{R"("energy": 912.9, "neighborhood": )",
                                                 R"("neighborhood": "Mitte", "energy": )",
                                                 R"("alert": "emergency", "patient_id": 7, "location": )",
                                                 R"("alert": "emergency", "patient_id": )",
                                                 R"("alert": "emergency", "location": "A", "patient_id": )",
                                                 R"("lat": 1.5, "lon": "2.5", "bus_id": )",
                                                 R"("camera_trigger": "x", "alert": )"};
    return random.one_in(4) ? fuzz::random_json(random)
                            : "{" + random.pick(events) + fuzz::random_json(random) + "}";
}

std::string cloud_event(Random& random)
{
    const std::string quote = random.one_in(20) ? "" : "\"";
    return R"({"specversion":"1.0","id":"1","source":"/s","type":"t","time":"2026-11-21T04:00:00+01:00)" +
           quote + ",\"data\":" + random_event(random) + "}";
}

// Some events with what stands between them.
std::string several(Random& random, const std::string& between, std::string (*make)(Random&))
{
    std::string text = make(random);
    for (std::size_t left = random.below(4); left > 0; --left) text += between + make(random);
    return text;
}

struct Shape {
    std::string head;
    std::string body;
};

Shape random_shape(Random& random)
{
    switch (random.below(6)) {
        case 0:
            return {"Content-Type: application/json\n", random_event(random)};
        case 1:
            return {"Content-Type: application/json\n", "[" + several(random, ",", random_event) + "]"};
        case 2:
            return {"Content-Type: application/x-ndjson\n", several(random, "\n", random_event)};
        case 3:
            return {"Content-Type: application/cloudevents+json\n", cloud_event(random)};
        case 4:
            return {"Content-Type: application/cloudevents-batch+json\n",
                    "[" + several(random, ",", cloud_event) + "]"};
        default:
            return {"ce-specversion: 1.0\nce-id: 1\nce-source: /s\nce-type: t\n", random_event(random)};
    }
}

std::string random_request(Random& random)
{
    static const std::vector<std::string> services{"energy", "health", "security", "transport",
                                                   "new.service"};
    static const std::vector<std::string> lines{"?dedupe_key: k1\n", "?dedupe_key: \n",
                                                "Idempotency-Key: k2\n", "ce-time: 2026-11-21T04:00:00Z\n",
                                                "ce-id: 2\n"};
    Shape shape = random_shape(random);
    std::string head = "/: " + random.pick(services) + "\n";
    for (const auto& line : lines) {
        if (random.one_in(5)) head += line;
    }
    if (random.one_in(10)) shape.head = "Content-Type: " + random.pick(content_types()) + "\n";
    return head + shape.head + "\n" + shape.body;
}

std::vector<std::string> seeds()
{
    constexpr int random_seeds = 200;
    Random random(1);
    std::vector<std::string> all;
    for (const auto& line : fuzz::city_event_lines()) {
        const auto event = json::parse(line);
        const std::string head = "/: " + std::string(event.at("service").as_string()) + "\n";
        const std::string payload = json::serialize(event.at("payload"));
        all.push_back(head + "Content-Type: application/json\n\n" + payload);
        all.push_back(head + "Content-Type: application/json\n\n[" + payload + "," + payload + "]");
        all.push_back(head + "Content-Type: application/x-ndjson\n\n" + payload + "\n" + payload + "\n");
    }
    for (int i = 0; i < random_seeds; ++i) all.push_back(random_request(random));
    return all;
}

std::vector<std::string> tokens()
{
    auto all = fuzz::json_tokens();
    for (const auto& type : content_types()) all.push_back("Content-Type: " + type + "\n");
    all.insert(all.end(), {"ce-id: x\n", "ce-time: 9999-12-31T23:59:60Z\n", "?dedupe_key: \n", "\n\n",
                           "/: transport\n"});
    return all;
}

const domain::ServiceRegistry& registry()
{
    static const domain::ServiceRegistry services = [] {
        domain::ServiceRegistry made;
        domain::register_builtin_services(made);
        return made;
    }();
    return services;
}

void check_fault(const domain::Fault& fault)
{
    require(!fault.detail.empty(), "a fault without words");
    json::error_code ec;
    json::parse(infra::http::problem(422, fault.detail).body, ec);
    require(!ec, "a problem document that is not JSON: " + fault.detail);
    json::parse(app::field_errors_json(fault.fields), ec);
    require(!ec, "field errors that are not JSON");
}

void check_stored_text(const std::string& text, bool object)
{
    const auto document = domain::parse_json(text);
    require(document.has_value(), "would store what it would not accept: " + text);
    require(object ? document->value.is_object() : document->value.is_array(),
            "would store another kind: " + text);
}

void check_prepared(const domain::PreparedEvent& event, std::string_view text)
{
    require(event.payload == text, "the payload is not the sender's text");
    if (!event.patch.empty()) check_stored_text(event.patch, true);
    if (!event.validation_errors.empty()) check_stored_text(event.validation_errors, false);
    require(event.derived.size() <= domain::family_ordinal_max, "more derived events than ordinals");
    for (const auto& derived : event.derived) {
        check_stored_text(derived.payload, true);
        require(!derived.service.empty() && !derived.key.empty(), "a derived event without service or key");
        require(fuzz::is_valid_utf8(derived.key) && derived.key.find('\0') == std::string::npos,
                "a key that PostgreSQL cannot store");
    }
}

// Each event twice: the second is a repeat where it has a key.
void check_plan(const std::vector<domain::PreparedEvent>& events)
{
    std::vector<const domain::PreparedEvent*> batch;
    for (const auto& event : events) batch.insert(batch.end(), {&event, &event});
    domain::FamilyIds ids(domain::TimePoint{std::chrono::hours{500'000}}, std::nullopt, [] { return 7U; });
    const auto plan = domain::plan_ingest(batch, {}, ids);
    require(plan.answers.size() == batch.size(), "not one answer an event");
    for (std::size_t i = 0; i < batch.size(); ++i) {
        const auto& answer = plan.answers[i];
        require(answer.derived.size() == batch[i]->derived.size() || answer.replayed,
                "an answer lost derived events");
        if (i % 2 == 1 && !batch[i]->request_key.empty())
            require(answer.replayed, "a repeat is stored again");
        json::error_code ec;
        json::parse(app::answer_json(answer), ec);
        require(!ec, "an answer that is not JSON");
    }
}

void check_request(const std::string& input)
{
    const Request request = request_of(input);
    const auto read = infra::api::read_ingest_request(request);
    if (!read) return check_fault(read.error());
    require(read->items.size() <= app::batch_items_max, "more items than a batch may have");
    app::IngestPolicy policy;
    policy.strict = [](std::string_view service) { return service == "health"; };
    const app::PrepareEvent prepare(registry(), std::move(policy));
    std::vector<domain::PreparedEvent> events;
    for (const auto& item : read->items) {
        if (!item.document) {
            check_fault(item.document.error());
            continue;
        }
        const std::string_view text = item.document->text;
        const std::string_view body = request.body;
        require(text.data() >= body.data() && text.data() + text.size() <= body.data() + body.size(),
                "an item that is no part of the body");
        const auto alone = domain::parse_json(text);
        require(alone.has_value() && alone->value == item.document->value, "an item's text and value differ");
        auto prepared = prepare.prepare(request.captures.front(), *item.document, item.envelope);
        if (!prepared) {
            check_fault(prepared.error());
            continue;
        }
        check_prepared(*prepared, text);
        events.push_back(std::move(*prepared));
    }
    check_plan(events);
}

}  // namespace

TEST_SUITE("fuzz/ingest")
{
    TEST_CASE("changed requests become events that can be stored, or faults that can be told")
    {
        fuzz::run(fuzz::mutated({seeds(), tokens()}), check_request);
    }

    TEST_CASE("random requests become events that can be stored, or faults that can be told")
    {
        fuzz::run(random_request, check_request);
    }
}
