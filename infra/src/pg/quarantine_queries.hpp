#pragma once

#include "app/ingest.hpp"
#include "domain/ids.hpp"
#include "domain/stream.hpp"

#include <soci/soci.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace infra::pg {

struct QuarantineFilter {
    std::int64_t limit = 100;
    std::optional<std::string> service = {};
    std::optional<std::string> topic = {};
    std::optional<std::string> reason = {};
    std::optional<domain::Uuid> older_than = {};  // cursor
};

// One page of what is kept, without the bytes: a JSON array, newest first.
struct QuarantinePage {
    std::string json;
    std::optional<domain::Uuid> last;
    bool full = false;  // there may be more
};

// One event that strict validation refused over HTTP.
struct RefusedEvent {
    std::string body;         // its own JSON text, also where it came in a batch or a CloudEvent
    std::string errors_json;  // JSON array
    app::Envelope envelope;
};

// With everything that is needed to try again.
struct KeptMessage {
    domain::Uuid id;
    std::string service;
    std::string body;
    app::Envelope envelope = {};                        // of what came over HTTP
    std::optional<domain::StreamMessage> message = {};  // empty = it came over HTTP
};

// The ids under which they are kept, in order; empty where the quarantine is full.
std::vector<std::optional<domain::Uuid>> keep_in_quarantine(soci::session& session,
                                                            const std::string& service,
                                                            const std::vector<RefusedEvent>& events);

QuarantinePage list_quarantine(soci::session& session, const QuarantineFilter& filter);
std::optional<std::string> show_quarantined(soci::session& session, const domain::Uuid& id);
std::optional<KeptMessage> read_quarantined(soci::session& session, const domain::Uuid& id);
std::vector<KeptMessage> read_quarantine(soci::session& session, const QuarantineFilter& filter);
void remove_quarantined(soci::session& session, const std::vector<domain::Uuid>& ids);

}  // namespace infra::pg
