#include "domain/workflow/batch.hpp"

#include "domain/coercion.hpp"
#include "domain/ingest.hpp"

#include <utility>

namespace domain::workflow {
namespace {

// How long an event waits for a program that knows its instance's version.
constexpr std::chrono::seconds postponed_for{30};

std::string label(const What& what)
{
    std::string text(name_of(what));
    if (const auto* incoming = std::get_if<Incoming>(&what)) return incoming->service;
    if (const auto* reply = std::get_if<Reply>(&what)) return text + " " + reply->step;
    if (const auto* restart = std::get_if<Restart>(&what)) return text + " " + restart->step;
    return text;
}

std::string text_of(const InstanceKey& key) { return key.workflow + "/" + key.id; }

}  // namespace

std::string call_topic(std::string_view endpoint) { return "$call." + std::string(endpoint); }

Batch::Batch(const Registry& registry, std::map<InstanceKey, Instance> known, TimePoint now,
             std::function<Uuid()> new_id)
    : registry_(registry), now_(now), new_id_(std::move(new_id))
{
    while (!known.empty()) {
        auto node = known.extract(known.begin());
        entries_.emplace(node.key(), Entry{std::move(node.mapped()), true, false});
    }
}

bool Batch::apply(const Trigger& trigger, const Uuid& event_id, unsigned& ordinal, const TraceContext* trace)
{
    trace_ = trace;
    event_id_ = event_id;
    ordinal_ = ordinal;
    const bool changed = apply(trigger);
    ordinal = ordinal_;
    return changed;
}

bool Batch::apply(const Trigger& trigger)
{
    measurements_.clear();
    auto& entry = entries_[trigger.instance];
    auto& instance = entry.instance;
    if (!entry.exists) {
        const auto* newest = registry_.newest(trigger.instance.workflow);
        if (!trigger.starts || newest == nullptr) return false;
        instance = {.key = trigger.instance, .version = newest->version, .first_event = event_id_};
    }
    const auto* definition = registry_.find(instance.key.workflow, instance.version);
    if (definition == nullptr) {
        send_to_self(trigger, now_ + postponed_for);
        return true;
    }
    const auto number = instance.transitions;
    auto result = take_turn(*definition, instance, {now_, trigger.what});
    if (result.ignored || result.refused) return false;
    entry.exists = entry.changed = true;
    measurements_ = std::move(result.measurements);
    const auto messages = static_cast<std::uint32_t>(result.messages.size());
    for (auto& message : result.messages) send(instance.key, std::move(message));
    if (result.wake) send_to_self({instance.key, Wake{*result.wake}}, *result.wake);
    if (instance.transitions > number) {
        history_.push_back({instance.key, instance.transitions, now_, event_id_, label(trigger.what),
                            instance.state.status, instance.state.error, messages});
    }
    return true;
}

void Batch::send(const InstanceKey& key, Message message)
{
    if (auto* publish = std::get_if<Publish>(&message)) {
        auto ordering_key = publish->key.empty() ? text_of(key) : std::move(publish->key);
        put(std::move(publish->topic), std::move(ordering_key), json_text(publish->payload));
        return;
    }
    CallOrder order{key, std::get<Call>(std::move(message))};
    // A key of its own: calls wait for no other call.
    put(call_topic(order.call.endpoint), order.idempotency_key(), call_json(order));
}

void Batch::send_to_self(const Trigger& trigger, TimePoint due)
{
    auto ordering_key = text_of(trigger.instance) + "@" + format_time(due) + label(trigger.what);
    put(std::string(self_topic), std::move(ordering_key), trigger_json(trigger), due);
}

void Batch::put(std::string topic, std::string ordering_key, std::string payload,
                std::optional<TimePoint> due)
{
    const auto hash = ordering_hash(ordering_key);
    const auto id = ordinal_ < family_ordinal_max ? family_member(event_id_, ++ordinal_) : new_id_();
    messages_.push_back({id, lane_of(hash), hash, std::move(topic), std::move(ordering_key),
                         std::move(payload), due, trace_});
}

Batch::Rows Batch::take()
{
    Rows rows;
    for (const auto& [key, entry] : entries_) {
        if (entry.changed) rows.instances.push_back(&entry.instance);
    }
    rows.history = std::exchange(history_, {});
    rows.messages = std::exchange(messages_, {});
    return rows;
}

}  // namespace domain::workflow
