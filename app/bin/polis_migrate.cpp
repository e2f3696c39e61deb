#include "infra/cli.hpp"
#include "infra/pg/migrator.hpp"
#include "startup.hpp"
#include "version.hpp"

#include <iostream>

namespace {

infra::CliSpec spec()
{
    return {
        .binary = infra::Binary::migrate,
        .program = "polis-migrate",
        .description = "Brings the database schema up or down. Safe to start from many processes at once.",
        .version = polis::version,
        .commands = {{"up", "apply everything that is pending"},
                     {"down", "take the newest migration back"},
                     {"status", "list all migrations"},
                     {"history", "list what was done and when"},
                     {"create", "write an empty pair into migrations/", "NAME", false}}};
}

int up(infra::pg::Migrator& migrator)
{
    const auto done = migrator.up();
    for (const auto& name : done) std::cout << "applied " << name << '\n';
    if (done.empty()) std::cout << "the schema is up to date\n";
    return infra::exit_fine;
}

int down(infra::pg::Migrator& migrator)
{
    const auto name = migrator.down();
    std::cout << (name.empty() ? "nothing to undo" : "undone " + name) << '\n';
    return infra::exit_fine;
}

int status(infra::pg::Migrator& migrator)
{
    for (const auto& line : migrator.status())
        std::cout << line.name << "  " << infra::pg::describe(line) << '\n';
    return infra::exit_fine;
}

int history(infra::pg::Migrator& migrator)
{
    for (const auto& line : migrator.history()) std::cout << line << '\n';
    return infra::exit_fine;
}

int create(const std::string& name)
{
    for (const auto& path : infra::pg::create_migration("migrations", name))
        std::cout << "wrote " << path << '\n';
    return infra::exit_fine;
}

}  // namespace

int main(int argc, char** argv)
{
    const auto line = infra::read_command_line(spec(), argc, argv);
    if (line.exit_code) return *line.exit_code;
    return polis::guarded("migrate", line.config, [&] {
        infra::pg::Migrator migrator(line.config.database.url);
        if (line.command == "up") return up(migrator);
        if (line.command == "down") return down(migrator);
        if (line.command == "status") return status(migrator);
        if (line.command == "history") return history(migrator);
        return create(line.argument);
    });
}
