#pragma once

#include <span>
#include <string>
#include <vector>

namespace infra::pg {

// A schema that this program cannot work with; what() says which command mends it.
struct SchemaState {
    std::vector<std::string> faults;  // empty = exactly this program's schema
};

struct MigrationLine {
    int version;
    std::string name;
    std::string state;  // "applied 2026-...", "pending", "changed since it was applied", "unknown to this program"
};

// Numbered SQL pairs, embedded in the program. Every call takes one advisory lock, so many processes may start at
// once. Throws SqlError, and std::runtime_error for files that do not fit together.
class Migrator {
public:
    explicit Migrator(std::string database_url) : url_(std::move(database_url)) {}

    // Applies all that is pending; returns the names.
    std::vector<std::string> up();
    // Takes the newest back; returns its name, or "" when there is none.
    std::string down();
    std::vector<MigrationLine> status();
    std::vector<std::string> history();
    SchemaState check();

private:
    std::string url_;
};

// Writes an empty pair with the next number into `directory` and returns the two paths.
std::vector<std::string> create_migration(const std::string& directory, const std::string& name);

}  // namespace infra::pg
