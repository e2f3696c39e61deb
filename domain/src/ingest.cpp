#include "domain/ingest.hpp"

#include <algorithm>
#include <utility>

namespace domain {
namespace {

std::string topic_of(std::string_view service) { return "event." + std::string(service); }

class Planner {
public:
    Planner(KnownKeys known, FamilyIds& ids) : known_(std::move(known)), ids_(ids) {}

    void add(const PreparedEvent& event)
    {
        if (!event.request_key.empty()) {
            if (const auto first = known_.requests.find(event.request_digest);
                first != known_.requests.end()) {
                plan_.answers.push_back(first->second);
                plan_.answers.back().replayed = true;
                return;
            }
        }
        store(event);
    }

    IngestPlan take() { return std::move(plan_); }

private:
    void store(const PreparedEvent& event)
    {
        const Uuid base = ids_.next();
        const std::size_t base_row = plan_.events.size();
        plan_.events.push_back({base,
                                event.service,
                                event.payload,
                                event.patch,
                                event.request_key,
                                event.validation_errors,
                                event.occurred_at,
                                static_cast<std::uint8_t>(event.derived.size()),
                                {},
                                &event.trace});
        if (event.publish_base) {
            const auto hash = ordering_hash({reinterpret_cast<const char*>(base.data), base.size()});
            plan_.outbox.push_back(
                {lane_of(hash), hash, base, topic_of(event.service), event.payload, {}, &event.trace});
        }
        std::vector<std::optional<Uuid>> suppressed(event.derived.size());
        for (std::size_t i = 0; i < event.derived.size(); ++i) {
            suppressed[i] =
                derive(event.derived[i], family_member(base, static_cast<unsigned>(i) + 1), event.trace);
        }
        auto answer = first_answer(base, static_cast<unsigned>(event.derived.size()), suppressed,
                                   event.validation_errors);
        if (!answer.suppressed.empty()) plan_.events[base_row].suppressed = std::move(suppressed);
        if (!event.request_key.empty()) {
            plan_.request_keys.push_back(
                {event.request_digest, base, known_.orphans.contains(event.request_digest)});
            known_.requests.emplace(event.request_digest, answer);
        }
        plan_.answers.push_back(std::move(answer));
    }

    // The event that suppresses this one, or nothing once it is planned.
    std::optional<Uuid> derive(const PreparedDerived& derived, const Uuid& id, const TraceContext& trace)
    {
        if (derived.dedupe_window.count() > 0) {
            const auto [at, first] = known_.derived.try_emplace(derived.digest, id);
            if (!first) {
                if (ids_.now() - id_time(at->second) < derived.dedupe_window) return at->second;
                at->second = id;
            }
            plan_.derived_keys.push_back({derived.digest, id, !first});
        }
        const auto hash = ordering_hash(derived.key);
        plan_.events.push_back(
            {id, derived.service, derived.payload, {}, derived.key, {}, std::nullopt, 0, {}});
        plan_.outbox.push_back(
            {lane_of(hash), hash, id, topic_of(derived.service), derived.payload, derived.key, &trace});
        return std::nullopt;
    }

    KnownKeys known_;
    FamilyIds& ids_;
    IngestPlan plan_;
};

}  // namespace

std::int64_t ordering_hash(std::string_view ordering_key)
{
    std::uint64_t hash = 0xcbf29ce484222325;
    for (const char c : ordering_key) {
        hash ^= static_cast<unsigned char>(c);
        hash *= 0x100000001b3;
    }
    return static_cast<std::int64_t>(hash);
}

std::int16_t lane_of(std::int64_t key_hash)
{
    // The high bits of FNV-1a are the better mixed ones.
    return static_cast<std::int16_t>((static_cast<std::uint64_t>(key_hash) >> 40) %
                                     static_cast<std::uint64_t>(lane_count));
}

std::size_t PreparedEvent::bytes() const
{
    std::size_t total = payload.size() + patch.size() + validation_errors.size() + request_key.size() +
                        (1 + derived.size()) * (trace.parent.size() + trace.state.size());
    for (const auto& event : derived) total += 2 * event.payload.size() + event.key.size();
    return total;
}

IngestAnswer first_answer(const Uuid& base, unsigned derived_count,
                          std::span<const std::optional<Uuid>> suppressed, std::string validation_errors)
{
    IngestAnswer answer;
    answer.event_id = base;
    answer.validation_errors = std::move(validation_errors);
    for (unsigned i = 0; i < derived_count; ++i) {
        const bool was_there = i < suppressed.size() && suppressed[i].has_value();
        answer.derived.push_back(was_there ? *suppressed[i] : family_member(base, i + 1));
        if (was_there) answer.suppressed.push_back(answer.derived.back());
    }
    return answer;
}

FamilyIds::FamilyIds(TimePoint now, std::optional<Uuid> newest_stored, std::function<std::uint64_t()> random)
    : now_(now), last_(id_tick_at(now) - 1), random_(std::move(random))
{
    if (newest_stored) last_ = std::max(last_, id_tick(*newest_stored));
}

Uuid FamilyIds::next() { return family_id(++last_, random_()); }

IngestPlan plan_ingest(std::span<const PreparedEvent* const> batch, KnownKeys known, FamilyIds& ids)
{
    Planner planner(std::move(known), ids);
    for (const auto* event : batch) planner.add(*event);
    return planner.take();
}

}  // namespace domain
