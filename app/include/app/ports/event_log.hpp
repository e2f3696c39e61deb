#pragma once

#include "domain/ingest.hpp"

#include <boost/system/result.hpp>

#include <functional>
#include <optional>
#include <vector>

namespace app {

// Why nothing of a request is known to be stored. In every case the sender may repeat it with its key.
enum class AppendRefusal {
    queue_full,       // nothing was tried
    unavailable,      // the database took nothing
    outcome_unknown,  // the connection was lost while committing
    stopping,
    superseded,  // a stream's position was moved by somebody else, or by a try whose outcome was unknown
    poison,      // of a stream's batch: nothing was stored, because the database refuses the empty entries of
                 // `events`
};

// One entry an event, in order; empty = the database refused this event and no other.
using AppendedEvents = std::vector<std::optional<domain::IngestAnswer>>;

struct AppendResult {
    std::optional<AppendRefusal> refusal;  // set: `events` is empty
    AppendedEvents events;
};

// The event log. Everything that belongs to the events of one append is in one transaction.
class EventLog {
public:
    using Done = std::function<void(AppendResult)>;

    virtual ~EventLog() = default;
    // Never blocks. `done` is called exactly once, after COMMIT where there is no refusal, on any thread.
    virtual void append(std::vector<domain::PreparedEvent> events, Done done) = 0;
};

}  // namespace app
