#include "infra/pg/migrator.hpp"

#include "failpoint.hpp"
#include "infra/embedded_migrations.hpp"
#include "pg/connection.hpp"

#include <openssl/evp.h>
#include <soci/postgresql/soci-postgresql.h>

#include <array>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>

namespace infra::pg {
namespace {

constexpr std::string_view up_suffix = ".up.sql";
constexpr std::string_view down_suffix = ".down.sql";

struct Migration {
    std::string name;  // "0001_events"
    std::string_view up;
    std::string_view down;
    std::string checksum;
};

std::string sha256(std::string_view text)
{
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned size = 0;
    if (EVP_Digest(text.data(), text.size(), digest.data(), &size, EVP_sha256(), nullptr) != 1) {
        throw std::runtime_error("SHA-256 is not available");
    }
    constexpr std::string_view digits = "0123456789abcdef";
    std::string out;
    for (unsigned i = 0; i < size; ++i) {
        out.push_back(digits[digest[i] >> 4]);
        out.push_back(digits[digest[i] & 15]);
    }
    return out;
}

int version_of(std::string_view name)
{
    int version = 0;
    std::from_chars(name.data(), name.data() + name.size(), version);
    return version;
}

std::map<int, Migration> read_embedded()
{
    std::map<int, Migration> all;
    for (const auto& file : migrations::files()) {
        const bool up = file.name.ends_with(up_suffix);
        if (!up && !file.name.ends_with(down_suffix)) continue;
        auto& migration = all[version_of(file.name)];
        (up ? migration.up : migration.down) = file.text;
        if (up) {
            migration.name = file.name.substr(0, file.name.size() - up_suffix.size());
            migration.checksum = sha256(file.text);
        }
    }
    return all;
}

// Hashed once: every question whether the program is ready compares the checksums.
const std::map<int, Migration>& embedded()
{
    static const std::map<int, Migration> all = read_embedded();
    return all;
}

struct Applied {
    std::string name;
    std::string checksum;
    std::string applied_at;
};

std::map<int, Applied> read_applied(soci::session& session)
{
    int exists = 0;
    session << "SELECT count(*)::int FROM pg_class WHERE oid = to_regclass('schema_migrations')",
        soci::into(exists);
    std::map<int, Applied> applied;
    if (exists == 0) return applied;
    const soci::rowset<soci::row> rows =
        (session.prepare << "SELECT version, name, checksum, to_char(applied_at AT TIME ZONE 'UTC', "
                            "'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') FROM schema_migrations ORDER BY version");
    for (const auto& row : rows) {
        applied.emplace(row.get<int>(0),
                        Applied{row.get<std::string>(1), row.get<std::string>(2), row.get<std::string>(3)});
    }
    return applied;
}

void make_tables(soci::session& session)
{
    session
        << "CREATE TABLE IF NOT EXISTS schema_migrations (version integer PRIMARY KEY, name text NOT NULL, "
           "checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())";
    session
        << "CREATE TABLE IF NOT EXISTS schema_history (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "
           "direction text NOT NULL, name text NOT NULL, at timestamptz NOT NULL DEFAULT now())";
}

// A migration's text goes to libpq as it is: SOCI would read every colon in it, even in comments, as a
// parameter.
void execute_script(soci::session& session, std::string_view text)
{
    const Result result(PQexec(native(session), std::string(text).c_str()));
    const auto status = PQresultStatus(result.get());
    if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_EMPTY_QUERY) return;
    const char* state = PQresultErrorField(result.get(), PG_DIAG_SQLSTATE);
    const char* message = PQresultErrorField(result.get(), PG_DIAG_MESSAGE_PRIMARY);
    throw SqlError(state == nullptr ? "" : state, message == nullptr ? "the connection was lost" : message);
}

// SOCI's commit() also succeeds on a transaction that has failed.
void commit_or_throw(soci::session& session, soci::transaction& transaction)
{
    if (PQtransactionStatus(native(session)) != PQTRANS_INTRANS)
        throw SqlError("25P02", "the transaction has failed");
    transaction.commit();
}

// A session that holds the one advisory lock of all migrations until it is closed.
std::unique_ptr<soci::session> locked_session(const std::string& url)
{
    auto session = connect(url, {"polis-migrate", std::chrono::minutes(10)});
    *session << "SET client_min_messages = warning";
    *session << "SET lock_timeout = 0";
    *session << "SELECT pg_advisory_lock(7000)";
    failpoint("migrator.locked");
    return session;
}

template <class Action>
auto translated(Action action)
{
    try {
        return action();
    } catch (const soci::soci_error& error) {
        rethrow_as_sql_error(error);
    }
}

std::vector<MigrationLine> compare(const std::map<int, Applied>& applied, const std::map<int, Migration>& all)
{
    std::vector<MigrationLine> lines;
    for (const auto& [version, migration] : all) {
        const auto at = applied.find(version);
        if (at == applied.end()) {
            lines.push_back({version, migration.name, MigrationState::pending});
        } else if (at->second.checksum == migration.checksum) {
            lines.push_back({version, migration.name, MigrationState::applied, at->second.applied_at});
        } else {
            lines.push_back({version, migration.name, MigrationState::changed});
        }
    }
    for (const auto& [version, row] : applied) {
        if (!all.contains(version)) lines.push_back({version, row.name, MigrationState::unknown});
    }
    return lines;
}

SchemaState judge(const std::vector<MigrationLine>& lines)
{
    SchemaState state;
    for (const auto& line : lines) {
        if (line.state == MigrationState::applied) continue;
        if (line.state == MigrationState::pending) {
            state.older = true;
        } else {
            state.foreign.push_back(
                "migration " + line.name + " is " + describe(line) +
                "; use the program that belongs to this schema, or run: polis-migrate status");
        }
    }
    return state;
}

// What was applied must be what this program carries; on anything else no step is safe.
void require_own_schema(const std::map<int, Applied>& applied, const std::map<int, Migration>& all)
{
    const auto state = judge(compare(applied, all));
    if (!state.foreign.empty()) throw std::runtime_error(state.foreign.front());
}

void apply(soci::session& session, int version, const Migration& migration)
{
    soci::transaction transaction(session);
    execute_script(session, migration.up);
    failpoint("migrator.changed");
    session << "INSERT INTO schema_migrations (version, name, checksum) VALUES (:v, :n, :c)",
        soci::use(version), soci::use(migration.name), soci::use(migration.checksum);
    session << "INSERT INTO schema_history (direction, name) VALUES ('up', :n)", soci::use(migration.name);
    failpoint("migrator.recorded");
    commit_or_throw(session, transaction);
    failpoint("migrator.committed");
}

}  // namespace

std::vector<std::string> Migrator::up()
{
    return translated([this] {
        const auto session = locked_session(url_);
        make_tables(*session);
        const auto applied = read_applied(*session);
        const auto& all = embedded();
        require_own_schema(applied, all);
        std::vector<std::string> done;
        for (const auto& [version, migration] : all) {
            if (applied.contains(version)) continue;
            apply(*session, version, migration);
            done.push_back(migration.name);
        }
        return done;
    });
}

std::string Migrator::down()
{
    return translated([this]() -> std::string {
        const auto session = locked_session(url_);
        const auto applied = read_applied(*session);
        if (applied.empty()) return "";
        const int version = applied.rbegin()->first;
        const auto& all = embedded();
        require_own_schema(applied, all);
        const auto at = all.find(version);
        if (at->second.down.empty()) {
            throw std::runtime_error("this program does not know how to undo " +
                                     applied.rbegin()->second.name);
        }
        soci::transaction transaction(*session);
        execute_script(*session, at->second.down);
        *session << "DELETE FROM schema_migrations WHERE version = :v", soci::use(version);
        *session << "INSERT INTO schema_history (direction, name) VALUES ('down', :n)",
            soci::use(at->second.name);
        failpoint("migrator.taken_back");
        commit_or_throw(*session, transaction);
        return at->second.name;
    });
}

std::vector<MigrationLine> Migrator::status()
{
    return translated([this] {
        const auto session = connect(url_, {"polis-migrate"});
        return compare(read_applied(*session), embedded());
    });
}

std::vector<std::string> Migrator::history()
{
    return translated([this] {
        const auto session = connect(url_, {"polis-migrate"});
        std::vector<std::string> lines;
        int exists = 0;
        *session << "SELECT count(*)::int FROM pg_class WHERE oid = to_regclass('schema_history')",
            soci::into(exists);
        if (exists == 0) return lines;
        const soci::rowset<std::string> rows =
            (session->prepare
             << "SELECT to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') || '  ' || "
                "rpad(direction, 4) || '  ' || name FROM schema_history ORDER BY id");
        for (const auto& line : rows) lines.push_back(line);
        return lines;
    });
}

std::string describe(const MigrationLine& line)
{
    switch (line.state) {
        case MigrationState::applied:
            return "applied " + line.applied_at;
        case MigrationState::pending:
            return "pending";
        case MigrationState::changed:
            return "changed since it was applied";
        case MigrationState::unknown:
            return "unknown to this program";
    }
    return "";
}

SchemaState schema_state(soci::session& session) { return judge(compare(read_applied(session), embedded())); }

SchemaState Migrator::check() { return judge(status()); }

std::vector<std::string> SchemaState::faults() const
{
    auto all = foreign;
    if (older) all.emplace_back("the schema is older than this program; run: polis-migrate up");
    return all;
}

std::vector<std::string> create_migration(const std::string& directory, const std::string& name)
{
    namespace fs = std::filesystem;
    if (name.empty() ||
        name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_") != std::string::npos) {
        throw std::runtime_error("a migration's name consists of a-z, 0-9 and _");
    }
    if (!fs::is_directory(directory)) throw std::runtime_error("there is no folder " + directory + " here");
    int next = 1;
    for (const auto& entry : fs::directory_iterator(directory)) {
        next = std::max(next, version_of(entry.path().filename().string()) + 1);
    }
    const auto number = std::to_string(next);
    const auto stem = std::string(number.size() < 4 ? 4 - number.size() : 0, '0') + number + "_" + name;
    std::vector<std::string> paths;
    for (const auto suffix : {up_suffix, down_suffix}) {
        const auto path = (fs::path(directory) / (stem + std::string(suffix))).string();
        std::ofstream file(path, std::ios::out | std::ios::app);
        file << "-- " << stem << suffix << ": one transaction; take short locks only.\n";
        if (!file) throw std::runtime_error("cannot write " + path);
        paths.push_back(path);
    }
    return paths;
}

}  // namespace infra::pg
