#include "pg/connection.hpp"

#include "database.hpp"

#include <doctest/doctest.h>
#include <soci/postgresql/soci-postgresql.h>

TEST_SUITE("infra/pg/connection")
{
    using namespace pg_support;
    using infra::pg::connect;
    using infra::pg::ConnectionLost;
    using infra::pg::conninfo;

    std::string setting(soci::session & session, const std::string& name)
    {
        std::string value;
        session << "SELECT current_setting(:name)", soci::use(name), soci::into(value);
        return value;
    }

    TEST_CASE("every connection has limits, and those of the URL win")
    {
        const auto ours = connect(cluster(), {"polis test", std::chrono::milliseconds(7777)});
        CHECK(setting(*ours, "statement_timeout") == "7777ms");
        CHECK(setting(*ours, "lock_timeout") == "5s");
        CHECK(setting(*ours, "idle_in_transaction_session_timeout") == "15s");
        const auto theirs =
            connect(cluster("", "options='-c lock_timeout=1s -c work_mem=5MB' application_name=mine"),
                    {"polis test"});
        CHECK(setting(*theirs, "lock_timeout") == "1s");
        CHECK(setting(*theirs, "statement_timeout") == "10s");
        CHECK(setting(*theirs, "work_mem") == "5MB");
        CHECK(setting(*theirs, "application_name") == "mine");
    }

    TEST_CASE("a value arrives as it is, whatever it consists of")
    {
        for (const std::string name : {"three plain words", "two  blanks", " edge ", "it's a\\b", "a=b c=d e",
                                       "50%41&x=y?#/", "singlerows=true", ""}) {
            CAPTURE(name);
            CHECK(setting(*connect(cluster(), {name}), "application_name") == name);
        }
    }

    TEST_CASE("both forms of a connection string are understood")
    {
        CHECK(conninfo("host=h user='a b' password='p w d' dbname=x", {"n"}) ==
              conninfo("postgresql://a%20b:p%20w%20d@h/x", {"n"}));
        CHECK(conninfo("postgresql:///x", {"n"}) ==
              "postgresql://"
              "?connect_timeout=3&tcp_user_timeout=5000&keepalives_idle=30&application_name=n&dbname=x&"
              "options=-c%20statement_timeout%3D10000%20-c%20lock_timeout%3D5000%20-c%20idle_in_transaction_"
              "session_"
              "timeout%3D15000");
        CHECK_THROWS_WITH(conninfo("mysql://x", {"n"}), "DATABASE_URL is not a PostgreSQL connection URI");
    }

    TEST_CASE("a server that is silent for too long is given up")
    {
        const auto session = connect(cluster(), {"polis test"});
        infra::pg::Pipeline pipeline(infra::pg::native(*session), std::chrono::milliseconds(50));
        pipeline.prepare("", "SELECT 1");
        pipeline.send("", {});
        CHECK(pipeline.sync().size() == 2);
        pipeline.prepare("", "SELECT pg_sleep(10)");
        pipeline.send("", {});
        CHECK_THROWS_WITH_AS(pipeline.sync(), "the database is silent", infra::pg::ConnectionLost);
    }

    TEST_CASE("a connection that cannot be made says why without the password")
    {
        try {
            connect(cluster("polis_test_there_is_no_such_database", "password=secret"), {"polis test"});
            FAIL("connected");
        } catch (const ConnectionLost& error) {
            CHECK(error.sqlstate() == "08001");
            const std::string reason = error.what();
            INFO(reason);
            CHECK(reason.find("does not exist") != std::string::npos);
            CHECK(reason.find("secret") == std::string::npos);
        }
    }
}
