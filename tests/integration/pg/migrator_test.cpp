#include "infra/pg/migrator.hpp"

#include "delivering.hpp"
#include "infra/embedded_migrations.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>

TEST_SUITE("infra/pg/migrator")
{
    using namespace pg_support;
    using infra::pg::Migrator;
    using Names = std::vector<std::string>;

    // In order, as the folder migrations/ has them: a new pair changes nothing here.
    Names names_of_pairs()
    {
        Names names;
        for (const auto& file : migrations::files()) {
            constexpr std::string_view suffix = ".up.sql";
            if (file.name.ends_with(suffix)) {
                names.emplace_back(file.name.substr(0, file.name.size() - suffix.size()));
            }
        }
        return names;
    }

    const Names all_names = names_of_pairs();

    // What states() tells when the first `applied` of them are there.
    Names expected_states(std::size_t applied)
    {
        Names states;
        for (std::size_t i = 0; i < all_names.size(); ++i) {
            states.push_back(std::to_string(std::stoi(all_names[i])) + " " + all_names[i] +
                             (i < applied ? " applied" : " pending"));
        }
        return states;
    }

    // All of them, newest first.
    void take_everything_back(Migrator & migrator)
    {
        for (auto name = all_names.rbegin(); name != all_names.rend(); ++name)
            CHECK(migrator.down() == *name);
    }

    // What pg_dump says of the schema, without the lines that differ from run to run.
    std::string schema_of(const Database& database)
    {
        const std::string command =
            "pg_dump --schema-only --no-owner --dbname=\"" + database.url() + "\" 2>&1";
        const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command.c_str(), "r"), &pclose);
        REQUIRE(pipe != nullptr);
        std::string text;
        std::array<char, 4096> buffer{};
        while (const auto size = fread(buffer.data(), 1, buffer.size(), pipe.get()))
            text.append(buffer.data(), size);
        REQUIRE(text.find("PostgreSQL database dump complete") != std::string::npos);
        for (const auto* noise : {"\\restrict", "\\unrestrict"}) {
            for (auto at = text.find(noise); at != std::string::npos; at = text.find(noise))
                text.erase(at, text.find('\n', at) - at);
        }
        return text;
    }

    Names states(Migrator & migrator)
    {
        Names states;
        for (const auto& line : migrator.status()) {
            const auto state = infra::pg::describe(line);
            const bool applied = line.state == infra::pg::MigrationState::applied &&
                                 state.starts_with("applied 20") && state.ends_with("Z");
            states.push_back(std::to_string(line.version) + " " + line.name + " " +
                             (applied ? "applied" : state));
        }
        return states;
    }

    TEST_CASE("an empty database is brought up to date once")
    {
        const Database database(Database::Schema::empty);
        Migrator migrator(database.url());
        CHECK(states(migrator) == expected_states(0));
        CHECK(migrator.history().empty());
        CHECK(migrator.check().older);
        CHECK(migrator.check().faults() ==
              Names{"the schema is older than this program; run: polis-migrate up"});
        CHECK(database.session().number("SELECT count(*) FROM pg_class WHERE relname LIKE 'schema\\_%'") ==
              0);

        CHECK(migrator.up() == all_names);
        CHECK(states(migrator) == expected_states(all_names.size()));
        CHECK(migrator.check().faults().empty());
        const auto schema = schema_of(database);
        CHECK(migrator.up().empty());
        CHECK(schema_of(database) == schema);
        const auto history = migrator.history();
        REQUIRE(history.size() == all_names.size());
        for (std::size_t i = 0; i < history.size(); ++i)
            CHECK(history[i].ends_with("Z  up    " + all_names[i]));
    }

    TEST_CASE("down to nothing and up again gives the same schema")
    {
        const Database database;
        Migrator migrator(database.url());
        const auto schema = schema_of(database);
        CHECK(schema.find("CREATE TABLE public.outbox") != std::string::npos);
        CHECK(migrator.down() == all_names.back());
        CHECK(states(migrator) == expected_states(all_names.size() - 1));
        CHECK(migrator.check().older);
        CHECK(migrator.up() == Names{all_names.back()});
        take_everything_back(migrator);
        CHECK(migrator.down().empty());
        // Nothing is left of ours but the migrator's own two tables.
        CHECK(database.session().column(
                  "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace "
                  "AND relkind IN ('r', 'p', 'v') ORDER BY 1") ==
              Names{"schema_history", "schema_migrations"});
        CHECK(database.session().number(
                  "SELECT count(*) FROM pg_proc WHERE pronamespace = 'public'::regnamespace") == 0);
        CHECK(migrator.up() == all_names);
        CHECK(schema_of(database) == schema);
        CHECK(migrator.history().size() == 3 * all_names.size() + 2);
    }

    TEST_CASE("a database with events and messages can go down, too")
    {
        const Database database;
        auto session = database.session();
        session.execute(
            "INSERT INTO events (id, derived_count, service, payload) "
            "VALUES (uuid7_floor(now()), 0, 's', '{}')");
        session.execute(
            "INSERT INTO outbox (key_hash, event_id, lane, topic, payload) "
            "VALUES (1, uuid7_floor(now()), 1, 't', '{}')");
        Migrator migrator(database.url());
        take_everything_back(migrator);
    }

    TEST_CASE("cursors keep their places when they move to another table, forward and back")
    {
        const Database database;
        auto session = database.session();
        session.execute("SELECT setval('outbox_seq', 41)");
        session.execute("SELECT add_subscription('late', '{*}', '{}', NULL, 'api', false, false)");
        move_cursors(session, 17, "subscription_id = 1 AND lane = 3");
        move_cursors(session, 50, "subscription_id <> 1 AND lane = 4");
        const std::string places =
            "SELECT subscription_id, lane, first_seq, acked_seq FROM lane_cursors ORDER BY 1, 2";
        const auto before = session.rows(places);
        Migrator migrator(database.url());
        while (migrator.down() != "0012_lane_leases") {
        }
        CHECK(session.rows(places) == before);
        // The retention of that version kept no line for the cursor.
        session.execute("DELETE FROM lane_progress");
        migrator.up();
        CHECK(session.rows(places) == before);
        CHECK(before[3] == std::vector<std::string>{"1", "3", "0", "17"});
    }

    void migrate_at_once(std::size_t callers)
    {
        const Database database(Database::Schema::empty);
        std::vector<Names> done(callers);
        std::vector<std::string> faults(callers);
        std::vector<std::thread> threads;
        for (std::size_t i = 0; i < callers; ++i) {
            threads.emplace_back([&, i] {
                try {
                    done[i] = Migrator(database.url()).up();
                } catch (const std::exception& error) {
                    faults[i] = error.what();
                }
            });
        }
        for (auto& thread : threads) thread.join();
        CHECK(faults == Names(callers));
        CHECK(std::count(done.begin(), done.end(), all_names) == 1);
        CHECK(std::count(done.begin(), done.end(), Names{}) == static_cast<long>(callers) - 1);
        CHECK(Migrator(database.url()).check().faults().empty());
        CHECK(Migrator(database.url()).history().size() == all_names.size());
    }

    TEST_CASE("of two that migrate at once, one does it") { migrate_at_once(2); }
    TEST_CASE("of eight that migrate at once, one does it") { migrate_at_once(8); }

    TEST_CASE("a migration that was changed since is refused in both directions")
    {
        const Database database;
        auto session = database.session();
        session.execute("UPDATE schema_migrations SET checksum = 'other' WHERE version = 1");
        Migrator migrator(database.url());
        const std::string fault =
            "migration 0001_events is changed since it was applied; use the program that belongs to this "
            "schema, or run: polis-migrate status";
        CHECK(migrator.check().faults() == Names{fault});
        CHECK_FALSE(migrator.check().older);
        CHECK(states(migrator)[0] == "1 0001_events changed since it was applied");
        CHECK_THROWS_WITH(migrator.up(), fault.c_str());
        CHECK_THROWS_WITH(migrator.down(), fault.c_str());
        CHECK(session.number("SELECT count(*) FROM schema_migrations") ==
              static_cast<long long>(all_names.size()));
    }

    TEST_CASE("a migration of a newer program is refused in both directions")
    {
        const Database database;
        auto session = database.session();
        session.execute(
            "INSERT INTO schema_migrations (version, name, checksum) VALUES (9000, '9000_future', 'x')");
        Migrator migrator(database.url());
        const std::string fault =
            "migration 9000_future is unknown to this program; use the program that belongs to this schema, "
            "or "
            "run: polis-migrate status";
        CHECK(migrator.check().faults() == Names{fault});
        CHECK(states(migrator).back() == "9000 9000_future unknown to this program");
        CHECK_THROWS_WITH(migrator.up(), fault.c_str());
        CHECK_THROWS_WITH(migrator.down(), fault.c_str());
        CHECK(session.number("SELECT count(*) FROM pg_class WHERE relname = 'outbox'") == 1);
    }

    TEST_CASE("a migration that fails leaves nothing behind and can be repeated")
    {
        const Database database(Database::Schema::empty);
        auto session = database.session();
        session.execute("CREATE TABLE subscriptions ()");  // in the way of 0002
        Migrator migrator(database.url());
        CHECK_THROWS_WITH(migrator.up(), "relation \"subscriptions\" already exists");
        CHECK(states(migrator) == expected_states(1));
        CHECK(session.value("SELECT to_regclass('outbox') IS NULL") == "t");
        session.execute("DROP TABLE subscriptions");
        CHECK(migrator.up() == Names(all_names.begin() + 1, all_names.end()));
    }

    TEST_CASE("a database that is not there is a fault, not an answer")
    {
        Migrator migrator(cluster("polis_test_there_is_no_such_database"));
        CHECK_THROWS_AS(migrator.status(), std::runtime_error);
        CHECK_THROWS_AS(migrator.up(), std::runtime_error);
    }

    TEST_CASE("a new migration is a pair of files with the next number")
    {
        namespace fs = std::filesystem;
        const auto folder = fs::temp_directory_path() / ("polis-migrations-" + std::to_string(getpid()));
        fs::create_directories(folder);
        const auto text_of = [](const std::string& path) {
            std::ifstream file(path);
            return std::string(std::istreambuf_iterator<char>(file), {});
        };
        const auto first = infra::pg::create_migration(folder.string(), "first_step");
        CHECK(first == Names{(folder / "0001_first_step.up.sql").string(),
                             (folder / "0001_first_step.down.sql").string()});
        CHECK(text_of(first[0]) == "-- 0001_first_step.up.sql: one transaction; take short locks only.\n");
        CHECK(text_of(first[1]) == "-- 0001_first_step.down.sql: one transaction; take short locks only.\n");
        std::ofstream(folder / "0041_other.up.sql") << "SELECT 1";
        std::ofstream(folder / "README.md") << "9999";
        CHECK(infra::pg::create_migration(folder.string(), "next").at(0) ==
              (folder / "0042_next.up.sql").string());
        for (const auto* name : {"", "Upper", "with space", "../escape", "semi;colon"})
            CHECK_THROWS_WITH(infra::pg::create_migration(folder.string(), name),
                              "a migration's name consists of a-z, 0-9 and _");
        fs::remove_all(folder);
        CHECK_THROWS_AS(infra::pg::create_migration(folder.string(), "next"), std::runtime_error);
    }
}
