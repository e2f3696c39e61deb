#include "api/subscriptions_handler.hpp"

#include "api/answers.hpp"
#include "api/with_session.hpp"
#include "domain/json.hpp"
#include "infra/config/config.hpp"
#include "kafka/avro_encoder.hpp"
#include "net/addresses.hpp"
#include "pg/subscription_queries.hpp"

#include <boost/json.hpp>

namespace infra::api {
namespace {

namespace json = boost::json;
using domain::Fault;
using domain::FieldError;

// What a client may name.
struct SinkLimits {
    domain::AddressPolicy addresses;
    bool kafka = false;
    bool schema_registry = false;
};

using Policy = std::shared_ptr<const SinkLimits>;

http::Response unknown() { return http::problem(404, "There is no subscription of this name"); }

domain::Result<json::object> read_object(const std::string& body)
{
    auto document = domain::parse_json(body);
    if (!document) return document.error();
    if (!document->value.is_object()) return Fault{"The body must be a JSON object"};
    return std::move(document->value.as_object());
}

// What only this program knows about a sink: which kinds there are, and which hosts a client may name.
std::string sink_fault(const domain::SubscriptionSettings& settings, const SinkLimits& policy)
{
    if (settings.sink.empty()) return "is required";
    const auto sink = parse_sink(settings.sink);
    if (!sink) return "must be " + std::string(sink_kinds);
    if (sink->kind == SinkKind::kafka && !policy.kafka) return "no Kafka brokers are configured";
    if (sink->kind != SinkKind::http && sink->kind != SinkKind::amqp) return {};
    // The guard connects to a checked address, and a certificate names a host: librabbitmq cannot have both.
    if (sink->url.starts_with("amqps:")) return "amqps is for subscriptions of the configuration file";
    return net::reach_fault(sink->url, policy.addresses);
}

void encoding_faults(const domain::SubscriptionSettings& settings, const SinkLimits& policy,
                     std::vector<FieldError>& faults)
{
    if (settings.encoding != domain::PayloadEncoding::avro) return;
    if (!policy.schema_registry) faults.push_back({"encoding", "no schema registry is configured"});
    if (settings.schema.empty()) return;
    try {
        const kafka::AvroEncoder encoder(settings.schema);
    } catch (const std::invalid_argument& fault) {
        faults.push_back({"schema", fault.what()});
    }
}

// All faults at once. Blocks for as long as the resolver.
domain::Result<domain::SubscriptionSettings> checked(const json::object& settings, const SinkLimits& policy,
                                                     std::vector<FieldError> faults = {})
{
    auto parsed = domain::parse_subscription(settings);
    if (!parsed) {
        auto more = parsed.error().fields;
        faults.insert(faults.end(), more.begin(), more.end());
    }
    const auto* sink = settings.if_contains("sink");
    domain::SubscriptionSettings only_sink;
    if (sink != nullptr && sink->is_string()) only_sink.sink = std::string(sink->as_string());
    if (sink == nullptr || sink->is_string()) {
        if (auto fault = sink_fault(only_sink, policy); !fault.empty())
            faults.push_back({"sink", std::move(fault)});
    }
    if (parsed) encoding_faults(*parsed, policy, faults);
    if (!faults.empty()) return Fault{"The subscription is not valid", std::move(faults)};
    return parsed;
}

json::object shown(const pg::StoredSubscription& stored)
{
    json::object out{{"name", stored.name}};
    for (auto& member : domain::shown_settings(stored.settings))
        out.insert_or_assign(member.key(), member.value());
    out["origin"] = stored.origin;
    if (stored.disabled_reason) out["disabled_reason"] = *stored.disabled_reason;
    out["revision"] = stored.revision;
    out["created_at"] = stored.created_at;
    out["updated_at"] = stored.updated_at;
    return out;
}

http::Response answer(soci::session& session, const std::string& name, unsigned status)
{
    const auto stored = pg::read_subscription(session, name);
    if (!stored) return unknown();
    auto response = json_text(json::serialize(shown(*stored)));
    response.status = status;
    if (status == 201)
        response.headers.push_back({"Location", "/subscriptions/" + http::percent_encoded(name)});
    return response;
}

http::Response create(soci::session& session, json::object body, const SinkLimits& policy)
{
    std::vector<FieldError> faults;
    std::string name;
    if (const auto* given = body.if_contains("name"); given != nullptr && given->is_string())
        name = std::string(given->as_string());
    if (!domain::valid_subscription_name(name))
        faults.push_back({"name", "must be 1 to 100 of A-Z a-z 0-9 . _ -"});
    body.erase("name");
    json::object settings;
    domain::merge_settings(settings, body);
    const auto parsed = checked(settings, policy, std::move(faults));
    if (!parsed) return fault_response(parsed.error());
    if (!pg::add_subscription(session, name, settings, *parsed, "api"))
        return http::problem(409, "There is a subscription of this name already");
    return answer(session, name, 201);
}

// What is not of the API may only be switched on and off: its file or the worker's environment has the rest.
bool only_switches(const json::object& patch) { return patch.size() == 1 && patch.contains("enabled"); }

http::Response change(soci::session& session, const std::string& name, const json::object& patch,
                      const SinkLimits& policy)
{
    const auto stored = pg::read_subscription(session, name);
    if (!stored) return unknown();
    auto settings = stored->settings;
    domain::merge_settings(settings, patch);
    if (patch.contains("start"))
        return fault_response(Fault{"The subscription is not valid", {{"start", "cannot be changed"}}});
    if (stored->origin != "api" && !only_switches(patch))
        return http::problem(
            409, "This subscription is made by configuration; only `enabled` can be changed here");
    const auto parsed =
        stored->origin == "api" ? checked(settings, policy) : domain::parse_subscription(settings);
    if (!parsed) return fault_response(parsed.error());
    if (!pg::change_subscription(session, name, stored->revision, settings, *parsed))
        return http::problem(409, "The subscription was changed at the same time. Read it and try again.");
    return answer(session, name, 200);
}

http::Response remove(soci::session& session, const std::string& name)
{
    if (name == domain::default_subscription)
        return http::problem(409, "The default subscription cannot be deleted; switch it off with `enabled`");
    if (!pg::remove_subscription(session, name)) return unknown();
    http::Response response;
    response.status = 204;
    return response;
}

http::Response list(soci::session& session)
{
    json::array all;
    for (const auto& stored : pg::read_subscriptions(session)) all.push_back(shown(stored));
    return json_text(json::serialize(all));
}

}  // namespace

void add_subscription_routes(http::Router& router, pg::QueryPool& pool,
                             const std::vector<domain::Network>& allowed_networks, const KafkaConfig& kafka)
{
    const auto policy = std::make_shared<const SinkLimits>(SinkLimits{domain::AddressPolicy(allowed_networks),
                                                                      !kafka.bootstrap_servers.empty(),
                                                                      !kafka.schema_registry_url.empty()});
    router.add("GET", "/subscriptions", [&pool](http::Request&&, const http::Reply& reply) {
        with_session(pool, reply, [](soci::session& session) { return list(session); });
    });
    router.add("POST", "/subscriptions",
               [&pool, policy](const http::Request& request, const http::Reply& reply) {
                   auto body = read_object(request.body);
                   if (!body) return reply(fault_response(body.error()));
                   with_session(pool, reply, [policy, body = *body](soci::session& session) {
                       return create(session, body, *policy);
                   });
               });
    router.add("GET", "/subscriptions/{name}",
               [&pool](const http::Request& request, const http::Reply& reply) {
                   with_session(pool, reply, [name = request.captures.at(0)](soci::session& session) {
                       return answer(session, name, 200);
                   });
               });
    router.add("PATCH", "/subscriptions/{name}",
               [&pool, policy](const http::Request& request, const http::Reply& reply) {
                   auto body = read_object(request.body);
                   if (!body) return reply(fault_response(body.error()));
                   with_session(pool, reply,
                                [policy, body = *body, name = request.captures.at(0)](
                                    soci::session& session) { return change(session, name, body, *policy); });
               });
    router.add("DELETE", "/subscriptions/{name}",
               [&pool](const http::Request& request, const http::Reply& reply) {
                   with_session(pool, reply, [name = request.captures.at(0)](soci::session& session) {
                       return remove(session, name);
                   });
               });
}

}  // namespace infra::api
