#include "pg/workflow_rows.hpp"

#include "pg/fields.hpp"
#include "pg/trace_arrays.hpp"

namespace infra::pg {
namespace {

using domain::workflow::Batch;
using domain::workflow::Instance;
using Element = BinaryArray::Element;

// Locked in one order, whoever writes them.
constexpr auto lookup_sql = R"(
SELECT w.workflow, w.id, w.version, w.status, w.ended, coalesce(w.error, ''), w.data, w.steps, w.transitions, w.first_event,
       (extract(epoch FROM w.updated_at) * 1000000)::bigint, (extract(epoch FROM w.wake_at) * 1000000)::bigint
FROM workflow_instances w JOIN unnest($1::text[], $2::text[]) k(workflow, id) ON w.workflow = k.workflow AND w.id = k.id
ORDER BY w.id, w.workflow FOR UPDATE OF w)";

constexpr auto instances_sql = R"(
INSERT INTO workflow_instances (workflow, id, version, status, ended, error, data, steps, transitions, first_event, updated_at, wake_at)
SELECT workflow, id, version, status, ended = 1, error, data, steps, transitions, first_event, updated_at, wake_at
FROM unnest($1::text[], $2::text[], $3::int8[], $4::text[], $5::int8[], $6::text[], $7::jsonb[], $8::jsonb[], $9::int8[], $10::uuid[],
            $11::timestamptz[], $12::timestamptz[])
     t(workflow, id, version, status, ended, error, data, steps, transitions, first_event, updated_at, wake_at)
ON CONFLICT (id, workflow) DO UPDATE
SET status = EXCLUDED.status, ended = EXCLUDED.ended, error = EXCLUDED.error, data = EXCLUDED.data, steps = EXCLUDED.steps,
    transitions = EXCLUDED.transitions, updated_at = EXCLUDED.updated_at, wake_at = EXCLUDED.wake_at)";

constexpr auto history_sql = R"(
INSERT INTO workflow_history (workflow, id, number, at, event_id, event, status, error, messages)
SELECT * FROM unnest($1::text[], $2::text[], $3::int8[], $4::timestamptz[], $5::uuid[], $6::text[], $7::text[], $8::text[], $9::int8[]))";

constexpr auto messages_sql = R"(
INSERT INTO outbox (seq, lane, key_hash, event_id, topic, payload, ordering_key, due_at, traceparent, tracestate)
SELECT nextval('outbox_seq'), lane, key_hash, event_id, topic, payload, ordering_key, due_at, traceparent, tracestate
FROM unnest($1::int2[], $2::int8[], $3::uuid[], $4::text[], $5::jsonb[], $6::text[], $7::timestamptz[], $8::text[], $9::text[])
     t(lane, key_hash, event_id, topic, payload, ordering_key, due_at, traceparent, tracestate))";

void add_time_or_null(BinaryArray& array, const std::optional<domain::TimePoint>& time)
{
    time ? array.add_time(*time) : array.add_null();
}

void send_instances(Pipeline& pipeline, const std::vector<const Instance*>& instances)
{
    BinaryArray workflow(Element::text), id(Element::text), version(Element::int8), status(Element::text);
    BinaryArray ended(Element::int8), error(Element::text), data(Element::jsonb), steps(Element::jsonb);
    BinaryArray transitions(Element::int8), first_event(Element::uuid), updated_at(Element::timestamptz);
    BinaryArray wake_at(Element::timestamptz);
    for (const auto* instance : instances) {
        const auto& state = instance->state;
        workflow.add_text(instance->key.workflow);
        id.add_text(instance->key.id);
        version.add(std::int64_t{instance->version});
        status.add_text(state.status);
        ended.add(std::int64_t{state.ended ? 1 : 0});
        add_text_or_null(error, state.error);
        data.add_json(domain::workflow::data_json(state));
        steps.add_json(domain::workflow::steps_json(state));
        transitions.add(std::int64_t{instance->transitions});
        first_event.add(instance->first_event);
        updated_at.add_time(instance->updated_at);
        add_time_or_null(wake_at, instance->wake_at);
    }
    const Param params[] = {workflow.param(),    id.param(),          version.param(),    status.param(),
                            ended.param(),       error.param(),       data.param(),       steps.param(),
                            transitions.param(), first_event.param(), updated_at.param(), wake_at.param()};
    pipeline.send("workflow_instances", params);
}

void send_history(Pipeline& pipeline, const std::vector<domain::workflow::Transition>& history)
{
    BinaryArray workflow(Element::text), id(Element::text), number(Element::int8), at(Element::timestamptz);
    BinaryArray event_id(Element::uuid), event(Element::text), status(Element::text), error(Element::text);
    BinaryArray messages(Element::int8);
    for (const auto& row : history) {
        workflow.add_text(row.key.workflow);
        id.add_text(row.key.id);
        number.add(std::int64_t{row.number});
        at.add_time(row.at);
        event_id.add(row.event_id);
        event.add_text(row.event);
        status.add_text(row.status);
        add_text_or_null(error, row.error);
        messages.add(std::int64_t{row.messages});
    }
    const Param params[] = {workflow.param(), id.param(),       number.param(),
                            at.param(),       event_id.param(), event.param(),
                            status.param(),   error.param(),    messages.param()};
    pipeline.send("workflow_history", params);
}

void send_messages(Pipeline& pipeline, const std::vector<domain::workflow::MessageRow>& messages)
{
    BinaryArray lane(Element::int2), key_hash(Element::int8), event_id(Element::uuid), topic(Element::text);
    BinaryArray payload(Element::jsonb), ordering_key(Element::text), due_at(Element::timestamptz);
    TraceArrays trace;
    for (const auto& row : messages) {
        lane.add(row.lane);
        key_hash.add(row.key_hash);
        event_id.add(row.id);
        topic.add_text(row.topic);
        payload.add_json(row.payload);
        ordering_key.add_text(row.ordering_key);
        add_time_or_null(due_at, row.due_at);
        trace.add(row.trace);
    }
    const Param params[] = {lane.param(),   key_hash.param(),     event_id.param(),
                            topic.param(),  payload.param(),      ordering_key.param(),
                            due_at.param(), trace.parent.param(), trace.state.param()};
    pipeline.send("workflow_messages", params);
}

}  // namespace

void prepare_workflow_statements(Pipeline& pipeline)
{
    pipeline.prepare("workflow_lookup", lookup_sql);
    pipeline.prepare("workflow_instances", instances_sql);
    pipeline.prepare("workflow_history", history_sql);
    pipeline.prepare("workflow_messages", messages_sql);
}

bool send_instance_lookup(Pipeline& pipeline, std::span<const domain::PreparedEvent* const> batch)
{
    BinaryArray workflow(Element::text), id(Element::text);
    bool any = false;
    for (const auto* event : batch) {
        for (const auto& trigger : event->triggers) {
            workflow.add_text(trigger.instance.workflow);
            id.add_text(trigger.instance.id);
            any = true;
        }
    }
    if (!any) return false;
    const Param params[] = {workflow.param(), id.param()};
    pipeline.send("workflow_lookup", params);
    return true;
}

Instances read_instances(const PGresult* rows)
{
    Instances found;
    for (int row = 0; row < PQntuples(rows); ++row) {
        Instance instance;
        instance.key = {PQgetvalue(rows, row, 0), PQgetvalue(rows, row, 1)};
        if (found.contains(instance.key)) continue;  // a key that was asked for twice
        instance.version = static_cast<std::uint32_t>(integer(rows, row, 2));
        instance.state.status = PQgetvalue(rows, row, 3);
        instance.state.ended = *PQgetvalue(rows, row, 4) == 't';
        instance.state.error = PQgetvalue(rows, row, 5);
        instance.state.data = domain::workflow::parse_data(PQgetvalue(rows, row, 6));
        instance.state.steps = domain::workflow::parse_steps(PQgetvalue(rows, row, 7));
        instance.transitions = static_cast<std::uint32_t>(integer(rows, row, 8));
        instance.first_event = uuid_at(rows, row, 9);
        instance.updated_at = time_at(rows, row, 10);
        instance.wake_at = optional_time(rows, row, 11);
        auto key = instance.key;
        found.emplace(std::move(key), std::move(instance));
    }
    return found;
}

void send_workflow_rows(Pipeline& pipeline, const Batch::Rows& rows)
{
    if (!rows.instances.empty()) send_instances(pipeline, rows.instances);
    if (!rows.history.empty()) send_history(pipeline, rows.history);
    if (!rows.messages.empty()) send_messages(pipeline, rows.messages);
}

}  // namespace infra::pg
