#include "pg/ingest_transaction.hpp"

#include "app/clocks.hpp"
#include "app/decode_message.hpp"
#include "app/randomness.hpp"
#include "failpoint.hpp"
#include "pg/fields.hpp"
#include "pg/trace_arrays.hpp"
#include "pg/workflow_rows.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>

namespace infra::pg {
namespace {

constexpr auto statement_timeout = std::chrono::seconds(30);
constexpr auto silence_max = statement_timeout + std::chrono::seconds(5);

constexpr auto fence_sql = "SELECT outbox_fence()";
constexpr auto newest_event_sql = "SELECT id FROM events ORDER BY id DESC LIMIT 1";
constexpr auto request_keys_sql =
    "SELECT k.digest, k.event_id, e.derived_count, e.suppressed, e.validation_errors "
    "FROM request_keys k LEFT JOIN events e ON e.id = k.event_id WHERE k.digest = ANY($1::uuid[])";
constexpr auto derived_keys_sql = "SELECT digest, event_id FROM derived_keys WHERE digest = ANY($1::uuid[])";

// Under the fence it is known which keys are new, so there is no ON CONFLICT: that would search the index
// twice and write a third record for every row.
constexpr auto insert_sql = R"(
WITH request AS (
    INSERT INTO request_keys (digest, event_id) SELECT * FROM unnest($1::uuid[], $2::uuid[])),
derived AS (
    INSERT INTO derived_keys (digest, event_id) SELECT * FROM unnest($3::uuid[], $4::uuid[])),
event AS (
    INSERT INTO events (id, occurred_at, derived_count, service, payload, patch, deduplication_key, validation_errors, suppressed,
                        traceparent, tracestate)
    SELECT id, occurred_at, derived_count, service, payload, patch, key, errors, suppressed::uuid[], traceparent, tracestate
    FROM unnest($5::uuid[], $6::timestamptz[], $7::int2[], $8::text[], $9::jsonb[], $10::jsonb[], $11::text[], $12::jsonb[], $13::text[], $19::text[], $20::text[])
         t(id, occurred_at, derived_count, service, payload, patch, key, errors, suppressed, traceparent, tracestate))
INSERT INTO outbox (seq, lane, key_hash, event_id, topic, payload, ordering_key, traceparent, tracestate)
SELECT nextval('outbox_seq'), lane, key_hash, event_id, topic, payload, ordering_key, traceparent, tracestate
FROM unnest($14::int2[], $15::int8[], $16::uuid[], $17::text[], $18::jsonb[], $21::text[], $22::text[], $23::text[])
     t(lane, key_hash, event_id, topic, payload, ordering_key, traceparent, tracestate))";

// The precondition of a stream's batch: every position stands where the batch begins. The row locks hold
// until the end of the transaction.
constexpr auto steps_sql = R"(
UPDATE kafka_offsets o SET next_offset = s.next, stored_at = now()
FROM unnest($2::text[], $3::int8[], $4::int8[], $5::int8[]) s(topic, partition, previous, next)
WHERE o.consumer_group = $1 AND o.topic = s.topic AND o.partition = s.partition AND o.next_offset = s.previous)";

constexpr auto quarantine_sql = R"(
INSERT INTO quarantine (id, service, body, errors, reason, detail, consumer_group, topic, partition, message_offset, message_key, headers)
SELECT id, service, body, errors, reason, detail, $1, topic, partition, message_offset, key, headers
FROM unnest($2::uuid[], $3::text[], $4::bytea[], $5::jsonb[], $6::text[], $7::text[], $8::text[], $9::int8[], $10::int8[], $11::bytea[], $12::jsonb[])
     t(id, service, body, errors, reason, detail, topic, partition, message_offset, key, headers))";

// A newer derived event takes its key over; so does a request's event when the first one's partition is gone.
// The retention may have removed the row since it was read: then it is written anew.
constexpr auto take_over_request_sql =
    "INSERT INTO request_keys (digest, event_id) SELECT * FROM unnest($1::uuid[], $2::uuid[]) "
    "ON CONFLICT (digest) DO UPDATE SET event_id = EXCLUDED.event_id";
constexpr auto take_over_derived_sql =
    "INSERT INTO derived_keys (digest, event_id) SELECT * FROM unnest($1::uuid[], $2::uuid[]) "
    "ON CONFLICT (digest) DO UPDATE SET event_id = EXCLUDED.event_id";

std::string text_field(const PGresult* result, int row, int column)
{
    return PQgetisnull(result, row, column) != 0 ? std::string() : PQgetvalue(result, row, column);
}

// Rows of a table of keys: what is new and what takes a key over.
struct KeyArrays {
    explicit KeyArrays(const std::vector<domain::KeyRow>& rows)
    {
        for (const auto& row : rows) {
            (row.takes_over ? taken_digest : new_digest).add(row.digest);
            (row.takes_over ? taken_event : new_event).add(row.event_id);
            any_taken = any_taken || row.takes_over;
        }
    }

    BinaryArray new_digest{BinaryArray::Element::uuid}, new_event{BinaryArray::Element::uuid};
    BinaryArray taken_digest{BinaryArray::Element::uuid}, taken_event{BinaryArray::Element::uuid};
    bool any_taken = false;
};

Param uuid_keys(BinaryArray& array, std::span<const domain::PreparedEvent* const> batch, bool derived)
{
    for (const auto* event : batch) {
        if (!derived && !event->request_key.empty()) array.add(event->request_digest);
        if (!derived) continue;
        for (const auto& d : event->derived) {
            if (d.dedupe_window.count() > 0) array.add(d.digest);
        }
    }
    return array.param();
}

Param text_param(const std::string& text) { return {text.data(), static_cast<int>(text.size()), 1}; }

void check_steps(const PGresult* updated, std::size_t expected)
{
    if (rows_affected(updated) != expected) throw PositionMoved();
}

void add_json_or_null(BinaryArray& array, std::string_view text)
{
    if (text.empty()) {
        array.add_null();
    } else {
        array.add_json(text);
    }
}

}  // namespace

IngestTransaction::IngestTransaction(const std::string& database_url,
                                     const domain::workflow::Registry* workflows)
    : registry_(workflows),
      session_(connect(database_url, {.application_name = "polis-api writer",
                                      .statement_timeout = statement_timeout,
                                      .only_lookups = true}))
{
    pipeline_.emplace(native(*session_), silence_max);
    // Whatever the server's default is: what is read after the fence must have a snapshot from after it.
    pipeline_->prepare("begin", "BEGIN ISOLATION LEVEL READ COMMITTED");
    pipeline_->prepare("commit", "COMMIT");
    pipeline_->prepare("rollback", "ROLLBACK");
    pipeline_->prepare("fence", fence_sql);
    pipeline_->prepare("newest", newest_event_sql);
    pipeline_->prepare("request_keys", request_keys_sql);
    pipeline_->prepare("derived_keys", derived_keys_sql);
    pipeline_->prepare("insert", insert_sql);
    pipeline_->prepare("steps", steps_sql);
    pipeline_->prepare("quarantine", quarantine_sql);
    pipeline_->prepare("quarantine_once", (std::string(quarantine_sql) + " ON CONFLICT DO NOTHING").c_str());
    prepare_workflow_statements(*pipeline_);
    pipeline_->prepare("take_over_request", take_over_request_sql);
    pipeline_->prepare("take_over_derived", take_over_derived_sql);
    pipeline_->prepare("notify", "SELECT pg_notify('polis_outbox', '')");
    pipeline_->prepare("partitions", "SELECT ensure_event_partitions(3), ensure_outbox_partitions()");
    pipeline_->sync();
}

void IngestTransaction::rollback()
{
    pipeline_->send("rollback", {});
    pipeline_->sync();
}

void IngestTransaction::make_partitions()
{
    pipeline_->send("partitions", {});
    pipeline_->sync();
}

domain::KnownKeys IngestTransaction::read_keys(const PGresult* requests, const PGresult* derived) const
{
    domain::KnownKeys known;
    for (int row = 0; row < PQntuples(requests); ++row) {
        if (PQgetisnull(requests, row, 2) != 0) {
            known.orphans.insert(uuid_at(requests, row, 0));
            continue;
        }
        const auto suppressed = parse_uuid_array(text_field(requests, row, 3));
        known.requests.emplace(uuid_at(requests, row, 0),
                               domain::first_answer(uuid_at(requests, row, 1),
                                                    static_cast<unsigned>(std::strtoul(
                                                        PQgetvalue(requests, row, 2), nullptr, 10)),
                                                    suppressed, text_field(requests, row, 4)));
    }
    for (int row = 0; row < PQntuples(derived); ++row) {
        known.derived.emplace(uuid_at(derived, row, 0), uuid_at(derived, row, 1));
    }
    return known;
}

void IngestTransaction::send_steps(const app::StreamBatch& stream)
{
    BinaryArray topic(BinaryArray::Element::text), partition(BinaryArray::Element::int8);
    BinaryArray from(BinaryArray::Element::int8), to(BinaryArray::Element::int8);
    for (const auto& step : stream.steps) {
        topic.add_text(step.partition.topic);
        partition.add(std::int64_t{step.partition.number});
        from.add(step.from);
        to.add(step.to);
    }
    const Param params[] = {text_param(stream.group), topic.param(), partition.param(), from.param(),
                            to.param()};
    pipeline_->send("steps", params);
}

void IngestTransaction::send_quarantine(const app::StreamBatch& stream)
{
    using Element = BinaryArray::Element;
    BinaryArray id(Element::uuid), service(Element::text), body(Element::bytea), errors(Element::jsonb);
    BinaryArray reason(Element::text), detail(Element::text), topic(Element::text), partition(Element::int8);
    BinaryArray offset(Element::int8), key(Element::bytea), headers(Element::jsonb);
    for (const auto& kept : stream.quarantined) {
        id.add(kept.id);
        service.add_text(kept.service);
        body.add_text(kept.message.value.value_or(""));
        errors.add_json(kept.field_errors.empty() ? "[]" : std::string_view(kept.field_errors));
        reason.add_text(domain::to_string(kept.reason));
        detail.add_text(kept.detail);
        topic.add_text(kept.message.partition.topic);
        partition.add(std::int64_t{kept.message.partition.number});
        offset.add(kept.message.offset);
        kept.message.key ? key.add_text(*kept.message.key) : key.add_null();
        headers.add_json(app::headers_json(kept.message.headers));
    }
    const Param params[] = {text_param(stream.group), id.param(),     service.param(), body.param(),
                            errors.param(),           reason.param(), detail.param(),  topic.param(),
                            partition.param(),        offset.param(), key.param(),     headers.param()};
    pipeline_->send(stream.steps.empty() ? "quarantine_once" : "quarantine", params);
}

domain::IngestPlan IngestTransaction::plan(std::span<const domain::PreparedEvent* const> batch,
                                           const app::StreamBatch* stream, Workflows& workflows)
{
    BinaryArray request_digests(BinaryArray::Element::uuid);
    BinaryArray derived_digests(BinaryArray::Element::uuid);
    const Param requests = uuid_keys(request_digests, batch, false);
    const Param derived = uuid_keys(derived_digests, batch, true);
    pipeline_->send("begin", {});
    // Every statement after the fence has a snapshot of its own, so it sees all that earlier holders
    // committed.
    pipeline_->send("fence", {});
    pipeline_->send("newest", {});
    pipeline_->send("request_keys", {&requests, 1});
    pipeline_->send("derived_keys", {&derived, 1});
    const bool any_triggers = registry_ != nullptr && send_instance_lookup(*pipeline_, batch);
    if (stream != nullptr) send_steps(*stream);
    const auto results = pipeline_->sync();
    failpoint("writer.begun");
    if (stream != nullptr) check_steps(results.back().get(), stream->steps.size());
    std::optional<domain::Uuid> newest;
    if (PQntuples(results[2].get()) > 0) newest = uuid_at(results[2].get(), 0, 0);
    domain::FamilyIds ids(app::system_now(), newest, app::random_bits);
    if (any_triggers) {
        workflows.emplace(*registry_, read_instances(results[5].get()), ids.now(),
                          [&ids] { return ids.next(); });
    }
    return domain::plan_ingest(batch, read_keys(results[3].get(), results[4].get()), ids,
                               workflows ? &*workflows : nullptr);
}

void IngestTransaction::send_rows(const domain::IngestPlan& plan)
{
    using Element = BinaryArray::Element;
    KeyArrays request(plan.request_keys), derived(plan.derived_keys);
    for (auto [statement, keys] :
         {std::pair{"take_over_request", &request}, std::pair{"take_over_derived", &derived}}) {
        const Param params[] = {keys->taken_digest.param(), keys->taken_event.param()};
        if (keys->any_taken) pipeline_->send(statement, params);
    }

    BinaryArray id(Element::uuid), occurred_at(Element::timestamptz), derived_count(Element::int2),
        service(Element::text);
    BinaryArray payload(Element::jsonb), patch(Element::jsonb), key(Element::text), errors(Element::jsonb);
    BinaryArray suppressed(Element::text);
    TraceArrays trace;
    for (const auto& event : plan.events) {
        id.add(event.id);
        event.occurred_at ? occurred_at.add_time(*event.occurred_at) : occurred_at.add_null();
        derived_count.add(static_cast<std::int16_t>(event.derived_count));
        service.add_text(event.service);
        payload.add_json(event.payload);
        add_json_or_null(patch, event.patch);
        add_text_or_null(key, event.key);
        add_json_or_null(errors, event.validation_errors);
        event.suppressed.empty() ? suppressed.add_null()
                                 : suppressed.add_text(uuid_array_text(event.suppressed));
        trace.add(event.trace);
    }

    BinaryArray lane(Element::int2), key_hash(Element::int8), event_id(Element::uuid), topic(Element::text);
    BinaryArray message(Element::jsonb), ordering_key(Element::text);
    TraceArrays message_trace;
    for (const auto& row : plan.outbox) {
        lane.add(row.lane);
        key_hash.add(row.key_hash);
        event_id.add(row.event_id);
        topic.add_text(row.topic);
        message.add_json(row.payload);
        add_text_or_null(ordering_key, row.ordering_key);
        message_trace.add(row.trace);
    }

    const Param params[] = {request.new_digest.param(),
                            request.new_event.param(),
                            derived.new_digest.param(),
                            derived.new_event.param(),
                            id.param(),
                            occurred_at.param(),
                            derived_count.param(),
                            service.param(),
                            payload.param(),
                            patch.param(),
                            key.param(),
                            errors.param(),
                            suppressed.param(),
                            lane.param(),
                            key_hash.param(),
                            event_id.param(),
                            topic.param(),
                            message.param(),
                            trace.parent.param(),
                            trace.state.param(),
                            ordering_key.param(),
                            message_trace.parent.param(),
                            message_trace.state.param()};
    pipeline_->send("insert", params);
}

std::vector<domain::IngestAnswer> IngestTransaction::run(std::span<const domain::PreparedEvent* const> batch,
                                                         End end, bool notify, const app::StreamBatch* stream)
{
    committing_ = false;
    Workflows workflows;
    auto plan = this->plan(batch, stream, workflows);
    const auto rows = workflows ? workflows->take() : domain::workflow::Batch::Rows();
    if (stream != nullptr && !stream->quarantined.empty()) send_quarantine(*stream);
    if (!plan.events.empty()) send_rows(plan);
    send_workflow_rows(*pipeline_, rows);
    failpoint("writer.rows_queued");
    if (notify && !(plan.outbox.empty() && rows.messages.empty())) pipeline_->send("notify", {});
    committing_ = end == End::commit;
    pipeline_->send(end == End::commit ? "commit" : "rollback", {});
    const auto results = pipeline_->sync();
    failpoint("writer.committed");
    committing_ = false;
    // The server answers COMMIT with ROLLBACK where the transaction had failed, and libpq calls that a
    // success.
    if (end == End::commit && std::strcmp(PQcmdStatus(results.back().get()), "COMMIT") != 0) {
        throw SqlError("25P02", "the transaction was rolled back");
    }
    return std::move(plan.answers);
}

}  // namespace infra::pg
