#include "infra/cli.hpp"

#include "config_support.hpp"

#include <doctest/doctest.h>

#include <sstream>
#include <string>
#include <utility>
#include <vector>

using namespace config_support;

TEST_SUITE("infra/cli")
{
    struct Outcome {
        infra::CommandLine line;
        std::string out;
        std::string err;
    };

    Outcome run(const infra::CliSpec& spec, std::vector<const char*> arguments, Environment env)
    {
        const Workspace space;
        arguments.insert(arguments.begin(), spec.program.c_str());
        std::ostringstream out;
        std::ostringstream err;
        auto line = infra::read_command_line(spec, static_cast<int>(arguments.size()), arguments.data(),
                                             space.sources(std::move(env)), out, err);
        return {std::move(line), out.str(), err.str()};
    }

    const infra::CliSpec api_spec{
        .binary = Binary::api,
        .program = "polis-api",
        .description = "Receives events.",
        .version = "1.2.3",
        .flags = {{"--migrate", "Apply migrations first"}, {"--routes", "Print the routes and exit", false}}};

    const infra::CliSpec migrate_spec{
        .binary = Binary::migrate,
        .program = "polis-migrate",
        .description = "Applies migrations.",
        .version = "1.2.3",
        .commands = {{"up", "Apply all", ""}, {"status", "Show", ""}, {"create", "New pair", "NAME", false}}};

    const Environment good{{"DATABASE_URL", database_url}};

    TEST_CASE("help and version need no configuration")
    {
        const auto help = run(api_spec, {"--help"}, {});
        CHECK(help.line.exit_code == 0);
        for (const char* const part :
             {"Receives events.", "Usage: polis-api", "--migrate", "--check-config", "DATABASE_URL",
              "HTTP_THREADS = 1", "Exit codes: 0 fine, 1 failed, 2 bad configuration"}) {
            CHECK_MESSAGE(contains(help.out, part), part);
        }
        CHECK(run(migrate_spec, {"up", "--help"}, {}).line.exit_code == 0);
        CHECK(run(migrate_spec, {"-h"}, {}).line.exit_code == 0);
        const auto version = run(api_spec, {"--version"}, {});
        CHECK(version.line.exit_code == 0);
        CHECK(version.out == "polis-api 1.2.3\n");
        CHECK(run(migrate_spec, {"--version"}, {}).line.exit_code == 0);
    }

    TEST_CASE("check-config says valid or names all faults")
    {
        const auto valid = run(api_spec, {"--check-config"}, good);
        CHECK(valid.line.exit_code == 0);
        CHECK(valid.out == "configuration is valid\n");
        CHECK(valid.err.empty());
        const auto faulty = run(api_spec, {"--check-config"}, {{"PORT", "x"}});
        CHECK(faulty.line.exit_code == 2);
        CHECK(faulty.out.empty());
        CHECK(contains(faulty.err, "polis-api: the configuration has 2 faults:\n  - "));
        CHECK(run(migrate_spec, {"--check-config"}, good).line.exit_code == 0);
        CHECK(run(api_spec, {"--routes", "--check-config"}, {}).line.exit_code == 2);
    }

    TEST_CASE("flags and commands reach the program")
    {
        const auto plain = run(api_spec, {}, good);
        CHECK_FALSE(plain.line.exit_code);
        CHECK(plain.line.config.http.port == 8000);
        CHECK_FALSE(plain.line.has("--migrate"));
        const auto flagged = run(api_spec, {"--migrate"}, good);
        CHECK_FALSE(flagged.line.exit_code);
        CHECK(flagged.line.has("--migrate"));
        CHECK(run(migrate_spec, {"up"}, good).line.command == "up");
        const auto create = run(migrate_spec, {"create", "add_table"}, {});
        CHECK_FALSE(create.line.exit_code);
        CHECK(create.line.command == "create");
        CHECK(create.line.argument == "add_table");
        CHECK_FALSE(run(api_spec, {"--routes"}, {}).line.exit_code);
    }

    TEST_CASE("wrong arguments and faults end with 2 and a hint")
    {
        const auto unknown = run(api_spec, {"--migrat"}, good);
        CHECK(unknown.line.exit_code == 2);
        CHECK(contains(unknown.err, "unknown argument \"--migrat\"; did you mean --migrate?"));
        CHECK(contains(unknown.err, "Try polis-api --help."));
        CHECK(run(api_spec, {"extra"}, good).line.exit_code == 2);
        CHECK(run(api_spec, {"--migrate=maybe"}, good).line.exit_code == 2);
        CHECK(contains(run(migrate_spec, {}, good).err, "a command is missing: up, status, create"));
        CHECK(contains(run(migrate_spec, {"create"}, good).err, "the command create needs NAME"));
        CHECK(contains(run(migrate_spec, {"statsu"}, good).err, "did you mean status?"));
        CHECK(run(migrate_spec, {"up", "status"}, good).line.exit_code == 2);
        CHECK(run(migrate_spec, {"up", "--drain"}, good).line.exit_code == 2);
        CHECK(run(migrate_spec, {"create", "a", "b"}, good).line.exit_code == 2);
        CHECK(run(api_spec, {"--migrate"}, {}).line.exit_code == 2);
    }
}
