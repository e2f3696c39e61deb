#pragma once

#include "domain/ingest.hpp"
#include "domain/json.hpp"
#include "domain/result.hpp"
#include "domain/service_registry.hpp"
#include "domain/workflow/registry.hpp"

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace app {

constexpr std::size_t batch_items_max = 1000;
constexpr std::size_t request_key_bytes_max = 512;

struct IngestPolicy {
    bool reject_unknown_services = false;
    std::function<bool(std::string_view service)> strict = [](std::string_view) { return false; };
    std::function<std::chrono::milliseconds(std::string_view rule)> dedupe_window = [](std::string_view) {
        return std::chrono::milliseconds{300'000};
    };
    bool publish_base_events = false;
};

// What comes with an event beside its payload.
struct Envelope {
    std::string request_key;  // empty = none
    std::optional<domain::TimePoint> occurred_at = {};
    domain::TraceContext trace = {};
};

// The pure first half of ingest: from text to a prepared event. Constant after construction, so every io
// thread may use it.
class PrepareEvent {
public:
    // `workflows` may be null: then no event concerns any.
    PrepareEvent(const domain::ServiceRegistry& registry, IngestPolicy policy,
                 const domain::workflow::Registry* workflows = nullptr);

    bool knows(std::string_view service) const;

    // A fault with fields is a strict service's refusal of a payload that lenient mode would store.
    domain::Result<domain::PreparedEvent> prepare(std::string_view service,
                                                  const domain::JsonDocument& document,
                                                  const Envelope& envelope) const;

private:
    domain::PreparedDerived prepare_derived(domain::DerivedEvent event) const;

    const domain::ServiceRegistry& registry_;
    IngestPolicy policy_;
    const domain::workflow::Registry* workflows_;
};

// What a workflow sends to itself, as an event: a reply, a timer, a restart. It is stored only if something
// comes of it.
domain::PreparedEvent self_event(domain::workflow::Trigger trigger);

// [{"field":...,"message":...}]
std::string field_errors_json(const std::vector<domain::FieldError>& errors);

// The answer of one ingested event, the same for its first and every repeated request.
std::string answer_json(const domain::IngestAnswer& answer, bool show_replayed = false);

}  // namespace app
