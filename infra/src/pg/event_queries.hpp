#pragma once

#include "domain/ids.hpp"

#include <soci/soci.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace infra::pg {

struct EventFilter {
    std::int64_t limit = 100;
    std::int64_t offset = 0;
    std::optional<std::string> service = {};
    std::optional<domain::Uuid> source_event_id = {};
    std::optional<domain::TimePoint> since = {};  // inclusive
    std::optional<domain::TimePoint> until = {};  // exclusive
    std::optional<domain::Uuid> older_than = {};  // cursor `after`
    std::optional<domain::Uuid> newer_than = {};  // cursor `before`
};

// One page: the events as a JSON array, newest first, and the ids at its ends.
struct EventPage {
    std::string json;
    std::vector<domain::Uuid> ids;
    bool cut = false;  // it ended at the limit of bytes
};

EventPage read_events(soci::session& session, const EventFilter& filter);

// The event with its derived events and deliveries as a JSON object; empty when there is none.
std::optional<std::string> read_event(soci::session& session, const domain::Uuid& id);

}  // namespace infra::pg
