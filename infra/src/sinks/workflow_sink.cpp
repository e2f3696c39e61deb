#include "infra/sinks/workflow_sink.hpp"

#include "app/ingest.hpp"
#include "domain/coercion.hpp"
#include "domain/json.hpp"
#include "infra/sinks/http_sink.hpp"
#include "sinks/bearer_token.hpp"

#include <exception>
#include <optional>
#include <stdexcept>
#include <utility>

namespace infra {
namespace {

using domain::DeliveryOutcome;
using domain::Verdict;
using domain::workflow::CallOrder;
using domain::workflow::Reply;
using domain::workflow::Trigger;
using Done = app::MessageSink::Done;

// A reply is an event, and an event is at most that large.
constexpr std::size_t answer_bytes_max = std::size_t{1} << 20U;
constexpr unsigned unauthorized = 401;

DeliveryOutcome not_ours()
{
    return {.verdict = Verdict::rejected,
            .error = "this is no message of a workflow",
            .blame = domain::Blame::ours};
}

DeliveryOutcome after(const app::AppendResult& result)
{
    // Nobody is to blame while the database is away: it charges no attempt.
    if (result.refusal)
        return {.verdict = Verdict::retry, .error = "the event is not stored yet", .charged = false};
    if (result.events.front()) return {};
    return {.verdict = Verdict::rejected,
            .error = "the database cannot hold the event",
            .blame = domain::Blame::ours};
}

void store(app::EventLog& log, Trigger trigger, domain::TraceContext trace, Done done)
{
    std::vector<domain::PreparedEvent> events;
    events.push_back(app::self_event(std::move(trigger)));
    events.back().trace = std::move(trace);
    log.append(std::move(events),
               [done = std::move(done)](const app::AppendResult& result) { done(after(result)); });
}

class SelfSink final : public app::MessageSink {
public:
    explicit SelfSink(app::EventLog& log) : log_(log) {}

    void send(const domain::OutboxMessage& message, Done done) override
    {
        std::optional<Trigger> trigger;
        try {
            trigger = domain::workflow::parse_trigger(message.payload);
        } catch (const std::exception&) {
            return done(not_ours());
        }
        store(log_, *std::move(trigger), message.trace, std::move(done));
    }

    void stop() override {}  // the log answers everything, also while it stops

private:
    app::EventLog& log_;
};

Reply reply_of(const CallOrder& order, const DeliveryOutcome& outcome)
{
    Reply reply{order.call.step, order.call.attempt, outcome.status, nullptr, outcome.error};
    if (auto document = domain::parse_json(outcome.answer)) reply.body = std::move(document->value);
    return reply;
}

class CallSink final : public app::MessageSink {
public:
    CallSink(HttpSinkOptions options, const CallEndpoint& endpoint, std::uint32_t attempts_max,
             app::EventLog& log)
        : url_(endpoint.url),
          bearer_(endpoint.bearer),
          attempts_max_(attempts_max),
          log_(log),
          http_(std::move(options))
    {
    }

    void send(const domain::OutboxMessage& message, Done done) override
    {
        std::optional<CallOrder> order;
        try {
            order = domain::workflow::parse_call(message.payload);
        } catch (const std::exception&) {
            return done(not_ours());
        }
        // Here and not on the sink's thread, where it would hold up the answers of other calls.
        const auto authorization = bearer_.authorization();
        auto call = call_of(*order, authorization.value_or(""));
        auto finish = [this, order = *std::move(order), attempt = message.attempts + 1, trace = message.trace,
                       done = std::move(done)](DeliveryOutcome outcome) {
            if (outcome.status == unauthorized && bearer_.forget()) outcome.verdict = Verdict::retry;
            const bool again = outcome.verdict == Verdict::abandoned ||
                               (outcome.verdict == Verdict::retry && attempt < attempts_max_);
            if (again) return done(std::move(outcome));
            store(log_, {order.instance, reply_of(order, outcome)}, trace, done);
        };
        if (!authorization)
            return finish({.verdict = Verdict::retry, .error = "no access token for the endpoint"});
        http_.call(message, std::move(call), std::move(finish));
    }

    void stop() override { http_.stop(); }

private:
    HttpCall call_of(const CallOrder& order, const std::string& authorization) const
    {
        const auto& body = order.call.body;
        HttpCall call{order.call.method, url_ + order.call.path,
                      body.is_null() ? std::string() : domain::json_text(body), order.idempotency_key()};
        if (!authorization.empty()) call.headers.emplace_back("Authorization", authorization);
        return call;
    }

    const std::string url_;
    sinks::BearerToken bearer_;
    const std::uint32_t attempts_max_;
    app::EventLog& log_;
    HttpSink http_;
};

}  // namespace

std::unique_ptr<app::MessageSink> make_workflow_sink(const Config& config,
                                                     const domain::SubscriptionSettings& settings,
                                                     app::EventLog& log)
{
    const auto name = settings.sink.substr(workflow_sink_scheme.size());
    if (name.empty()) return std::make_unique<SelfSink>(log);
    const auto endpoint = config.workflows.endpoints.find(name);
    if (endpoint == config.workflows.endpoints.end())
        throw std::invalid_argument("the endpoint is not configured for this worker");
    HttpSinkOptions options;
    options.url = endpoint->second.url;
    options.timeout =
        endpoint->second.timeout.count() > 0 ? endpoint->second.timeout : config.outbox.send_timeout;
    options.in_flight_max = config.outbox.in_flight_max;
    options.keeps_answer = true;
    options.answer_bytes_max = answer_bytes_max;
    return std::make_unique<CallSink>(std::move(options), endpoint->second,
                                      settings.attempts_max.value_or(config.outbox.attempts_max), log);
}

ConfiguredSubscriptions workflow_subscriptions(const WorkflowConfig& workflows)
{
    ConfiguredSubscriptions subscriptions;
    subscriptions["workflows"] = {
        {"topics", {domain::workflow::self_topic}}, {"sink", workflow_sink_scheme}, {"start", "beginning"}};
    for (const auto& [name, endpoint] : workflows.endpoints) {
        subscriptions["workflow-" + name] = {{"topics", {domain::workflow::call_topic(name)}},
                                             {"sink", std::string(workflow_sink_scheme) + name},
                                             {"start", "beginning"}};
        if (endpoint.attempts_max > 0)
            subscriptions["workflow-" + name]["max_attempts"] =
                static_cast<std::int64_t>(endpoint.attempts_max);
    }
    return subscriptions;
}

}  // namespace infra
