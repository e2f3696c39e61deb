#pragma once

#include <span>
#include <string_view>

// The SQL files of the folder migrations/, embedded at build time so that a binary alone can bring up its
// schema.
namespace migrations {

struct File {
    std::string_view name;  // without folder, such as "0001_events.up.sql"
    std::string_view text;
};

// Sorted by name.
std::span<const File> files();

}  // namespace migrations
