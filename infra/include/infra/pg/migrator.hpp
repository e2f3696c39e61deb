#pragma once

#include <span>
#include <string>
#include <vector>

namespace soci {
class session;
}

namespace infra::pg {

struct SchemaState {
    bool older = false;                // migrations are pending
    std::vector<std::string> foreign;  // what another program, or another version of a file, has applied

    // Empty when the schema is exactly this program's; each says which command mends it.
    std::vector<std::string> faults() const;
};

SchemaState schema_state(soci::session& session);

enum class MigrationState {
    applied,
    pending,
    changed,  // since it was applied
    unknown,  // to this program
};

struct MigrationLine {
    int version;
    std::string name;
    MigrationState state;
    std::string applied_at = {};  // where it was
};

// For people: "applied 2026-...", "pending", "changed since it was applied", "unknown to this program".
std::string describe(const MigrationLine& line);

// Numbered SQL pairs, embedded in the program. Every call takes one advisory lock, so many processes may
// start at once. Throws SqlError, and std::runtime_error for files that do not fit together.
class Migrator {
public:
    explicit Migrator(std::string database_url) : url_(std::move(database_url)) {}

    // Applies all that is pending; returns the names.
    std::vector<std::string> up();
    // Takes the newest back; returns its name, or "" when there is none.
    std::string down();
    std::vector<MigrationLine> status();
    std::vector<std::string> history();
    SchemaState check();  // of schema_state(), on a connection of its own

private:
    std::string url_;
};

// Writes an empty pair with the next number into `directory` and returns the two paths.
std::vector<std::string> create_migration(const std::string& directory, const std::string& name);

}  // namespace infra::pg
