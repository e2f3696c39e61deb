#pragma once

#include <span>
#include <string_view>

namespace infra::kafka {

// A record that we know by its full name, and the schema that we read it by.
struct KnownRecord {
    std::string_view name;
    std::string_view schema;
};

// The events of the topic scenario.events.
std::span<const KnownRecord> known_records();

}  // namespace infra::kafka
