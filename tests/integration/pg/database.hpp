#pragma once

#include "infra/pg/migrator.hpp"

#include <libpq-fe.h>

#include <chrono>
#include <cstdlib>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

// What the tests of PostgreSQL have in common. It speaks libpq by itself, so that the code under test is
// never its own witness.
namespace pg_support {

using Row = std::vector<std::string>;  // NULL = "<null>"
using Rows = std::vector<Row>;

// Longer than anything takes on a busy machine under a sanitizer.
constexpr std::chrono::seconds patience{30};

template <class Predicate>
void eventually(const std::string& what, Predicate predicate)
{
    const auto deadline = std::chrono::steady_clock::now() + patience;
    while (!predicate()) {
        if (std::chrono::steady_clock::now() > deadline) throw std::runtime_error("never happened: " + what);
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
}

class Session {
public:
    explicit Session(const std::string& conninfo) : connection_(PQconnectdb(conninfo.c_str()), &PQfinish)
    {
        if (PQstatus(connection_.get()) != CONNECTION_OK)
            throw std::runtime_error(PQerrorMessage(connection_.get()));
        execute("SET client_min_messages = warning");
    }

    Rows rows(const std::string& sql)
    {
        const std::unique_ptr<PGresult, decltype(&PQclear)> result(PQexec(connection_.get(), sql.c_str()),
                                                                   &PQclear);
        const auto status = PQresultStatus(result.get());
        if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK)
            throw std::runtime_error(sql + ": " + PQerrorMessage(connection_.get()));
        Rows rows;
        for (int row = 0; row < PQntuples(result.get()); ++row) {
            rows.emplace_back();
            for (int column = 0; column < PQnfields(result.get()); ++column) {
                rows.back().emplace_back(PQgetisnull(result.get(), row, column) != 0
                                             ? "<null>"
                                             : PQgetvalue(result.get(), row, column));
            }
        }
        return rows;
    }

    // The first column of every row.
    std::vector<std::string> column(const std::string& sql)
    {
        std::vector<std::string> values;
        for (auto& row : rows(sql)) values.push_back(std::move(row.at(0)));
        return values;
    }

    std::string value(const std::string& sql) { return rows(sql).at(0).at(0); }
    long number(const std::string& sql) { return std::stol(value(sql)); }
    void execute(const std::string& sql) { rows(sql); }

private:
    std::unique_ptr<PGconn, decltype(&PQfinish)> connection_;
};

// The cluster of the test run, with another database or more parameters (a later one wins).
inline std::string cluster(const std::string& database = "", const std::string& more = "")
{
    const char* url = std::getenv("POLIS_TEST_DATABASE_URL");
    if (url == nullptr || *url == '\0') {
        throw std::runtime_error(
            "POLIS_TEST_DATABASE_URL is not set: run this test by way of infra/tools/with_cluster.sh");
    }
    const std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)> parsed(PQconninfoParse(url, nullptr),
                                                                              &PQconninfoFree);
    if (!parsed) throw std::runtime_error("POLIS_TEST_DATABASE_URL is not a connection URI");
    std::string text;
    for (const auto* option = parsed.get(); option->keyword != nullptr; ++option) {
        const std::string keyword = option->keyword;
        if (option->val == nullptr || (keyword == "dbname" && !database.empty())) continue;
        text += keyword + "='" + option->val + "' ";
    }
    if (!database.empty()) text += "dbname='" + database + "' ";
    return text + more;
}

// A database of one test, dropped with it.
class Database {
public:
    enum class Schema { current, empty };

    explicit Database(Schema schema = Schema::current) : name_(unique_name())
    {
        Session(cluster()).execute("CREATE DATABASE " + name_);
        if (schema == Schema::current) infra::pg::Migrator(url()).up();
    }

    ~Database()
    {
        try {
            Session(cluster()).execute("DROP DATABASE IF EXISTS " + name_ + " WITH (FORCE)");
        } catch (const std::exception&) {  // the cluster goes after the tests anyway
        }
    }

    Database(const Database&) = delete;
    Database& operator=(const Database&) = delete;

    const std::string& name() const { return name_; }
    std::string url(const std::string& more = "") const { return cluster(name_, more); }
    Session session() const { return Session(url()); }

    // Ends every connection of that program to this database; returns how many there were.
    long terminate(const std::string& application_name) const
    {
        return Session(cluster()).number(
            "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE datname = '" + name_ +
            "' AND application_name = '" + application_name + "'");
    }

private:
    static std::string unique_name()
    {
        std::random_device device;
        return "polis_test_" + std::to_string(getpid()) + "_" + std::to_string(device());
    }

    const std::string name_;
};

// Holds the fence of the outbox, so that every writer of that database waits.
class HeldFence {
public:
    explicit HeldFence(const Database& database) : session_(database.session())
    {
        session_.execute("BEGIN");
        session_.execute("SELECT outbox_fence()");
    }

    void wait_for_waiting(long writers)
    {
        eventually("writers wait for the fence", [&] {
            return session_.number(
                       "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid "
                       "= "
                       "7001 "
                       "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())") ==
                   writers;
        });
    }

    void release() { session_.execute("COMMIT"); }

private:
    Session session_;
};

}  // namespace pg_support
