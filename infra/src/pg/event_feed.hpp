#pragma once

#include "domain/ids.hpp"

#include <soci/soci.h>

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace infra::pg {

// The newest event, or the smallest id while there is none.
domain::Uuid newest_event(soci::session& session);

struct FeedPage {
    struct Entry {
        domain::Uuid id{};
        std::size_t end = 0;  // offset in `text` behind this event
    };
    std::string text;  // one server-sent event after the other
    std::vector<Entry> entries;
    bool full = false;  // more may follow at once
};

// What was committed after `after`, oldest first, not beyond `up_to`. Ids are given out under the fence of
// the outbox, each above all that were committed before (FamilyIds): what becomes visible later has a larger
// id than what is visible now, so this cursor passes no event that is still to come, whichever process writes
// it.
FeedPage read_feed(soci::session& session, const domain::Uuid& after,
                   const std::optional<domain::Uuid>& up_to, std::size_t events_max, std::size_t bytes_max);

}  // namespace infra::pg
