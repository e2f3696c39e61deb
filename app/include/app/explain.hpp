#pragma once

#include "app/ingest.hpp"

#include <string>

namespace app {

struct Explanation {
    bool stored = false;  // would be
    std::string json;
};

// What ingest would make of one document: its normalised payload, faults, derived events and messages. Pure:
// nothing is written, and no key that is stored already is looked at, so an event that may be suppressed is
// shown with its window.
Explanation explain(const PrepareEvent& prepare, const domain::ServiceRegistry& registry,
                    std::string_view service, const domain::Result<domain::JsonDocument>& document,
                    const Envelope& envelope);

}  // namespace app
