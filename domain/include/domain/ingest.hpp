#pragma once

#include "domain/ids.hpp"
#include "domain/trace_context.hpp"
#include "domain/workflow/batch.hpp"

#include <boost/container_hash/hash.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

// What happens to events between the pure preparation of a request and the transaction that stores them.
namespace domain {

// Rows of the outbox are spread over lanes by their ordering key; a lane is delivered by one worker at a
// time. The database holds one cursor a lane, so this number is part of the schema.
constexpr std::int16_t lane_count = 16;

// FNV-1a over the ordering key: equal in every process and version.
std::int64_t ordering_hash(std::string_view ordering_key);
std::int16_t lane_of(std::int64_t key_hash);

struct PreparedDerived {
    std::string service;
    std::string payload;  // JSON text
    std::string key;
    Uuid digest;                                // of (service, key)
    std::chrono::milliseconds dedupe_window{};  // 0 = never suppressed
};

// One event with everything that is known before the database is asked.
struct PreparedEvent {
    std::string service;
    std::string payload;  // the sender's JSON text
    std::string patch;    // JSON object to overlay for the normalised payload; empty = equal to the payload
    std::string validation_errors;  // JSON array; empty = none
    std::string request_key;        // empty = none
    Uuid request_digest;            // of (service, request_key)
    std::optional<TimePoint> occurred_at;
    std::vector<PreparedDerived> derived;  // at most family_ordinal_max
    bool publish_base = false;             // the base event is a message, too
    TraceContext trace = {};
    std::vector<workflow::Trigger> triggers;  // the workflows that it concerns
    bool only_for_workflows = false;          // not stored where nothing comes of the triggers

    std::size_t rows() const { return 1 + derived.size(); }
    std::size_t bytes() const;
};

struct IngestAnswer {
    Uuid event_id;
    std::vector<Uuid> derived;  // in rule order; a suppressed one is named by the event that was there before
    std::vector<Uuid> suppressed;  // those of `derived` that were there before
    std::string validation_errors;
    bool replayed = false;
    std::vector<workflow::Measurement> measurements = {};  // of the workflows, for metrics

    bool operator==(const IngestAnswer&) const = default;
};

// The first answer, from what is stored with a base event. `suppressed` has one entry an ordinal, or none at
// all.
IngestAnswer first_answer(const Uuid& base, unsigned derived_count,
                          std::span<const std::optional<Uuid>> suppressed, std::string validation_errors);

using UuidHash = boost::hash<Uuid>;

// What the key tables hold about the keys of a batch.
struct KnownKeys {
    std::unordered_map<Uuid, IngestAnswer, UuidHash> requests;  // by request digest
    std::unordered_set<Uuid, UuidHash> orphans;        // request digests whose event is no longer kept
    std::unordered_map<Uuid, Uuid, UuidHash> derived;  // by derived digest: the newest event of that key
};

// Ids in strictly increasing order, also after those of other processes and of a clock that went back.
class FamilyIds {
public:
    FamilyIds(TimePoint now, std::optional<Uuid> newest_stored, std::function<std::uint64_t()> random);
    Uuid next();
    TimePoint now() const { return now_; }

private:
    TimePoint now_;
    IdTick last_;
    std::function<std::uint64_t()> random_;
};

// Rows to write; views point into the prepared events.
struct EventRow {
    Uuid id;
    std::string_view service;
    std::string_view payload;
    std::string_view patch;              // empty = NULL
    std::string_view key;                // empty = NULL
    std::string_view validation_errors;  // empty = NULL
    std::optional<TimePoint> occurred_at;
    std::uint8_t derived_count = 0;
    std::vector<std::optional<Uuid>> suppressed;  // one entry an ordinal, or empty = NULL
    const TraceContext* trace = nullptr;          // of a base event
};

struct KeyRow {
    Uuid digest;
    Uuid event_id;
    bool takes_over = false;  // the table has this digest already: its row is changed
};

struct OutboxRow {
    std::int16_t lane;
    std::int64_t key_hash;
    Uuid event_id;
    std::string topic;
    std::string_view payload;
    std::string_view ordering_key;  // empty = the id of the base event
    const TraceContext* trace = nullptr;
};

struct IngestPlan {
    std::vector<EventRow> events;
    std::vector<KeyRow> request_keys;
    std::vector<KeyRow> derived_keys;
    std::vector<OutboxRow> outbox;
    std::vector<IngestAnswer> answers;  // one a prepared event, in order
};

// Decides for a batch, under the writer's fence: which events are repeats, which derived events are
// suppressed, which ids everything gets, and what is answered. A repeat within the batch meets the first of
// its key. The workflows' part of the plan stays in `workflows`, which may be null where there are no
// triggers.
IngestPlan plan_ingest(std::span<const PreparedEvent* const> batch, KnownKeys known, FamilyIds& ids,
                       workflow::Batch* workflows = nullptr);

}  // namespace domain
