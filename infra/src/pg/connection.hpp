#pragma once

#include <libpq-fe.h>
#include <soci/soci.h>

#include <chrono>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace infra::pg {

// A failure that the database or the connection reported. what() is the primary message only: the detail line
// may hold values of a payload.
class SqlError : public std::runtime_error {
public:
    SqlError(std::string sqlstate, const std::string& message, bool names_constraint = false)
        : std::runtime_error(message), sqlstate_(std::move(sqlstate)), names_constraint_(names_constraint)
    {
    }
    const std::string& sqlstate() const { return sqlstate_; }

    bool bad_data() const { return in_class("22") || (in_class("23") && !no_partition()); }
    // A missing partition has the SQLSTATE of a violated CHECK, but no constraint.
    bool no_partition() const { return sqlstate_ == "23514" && !names_constraint_; }
    bool worth_a_retry() const { return sqlstate_ == "40001" || sqlstate_ == "40P01"; }

private:
    bool in_class(std::string_view two) const { return sqlstate_.starts_with(two); }
    std::string sqlstate_;
    bool names_constraint_;
};

// The connection itself is gone; sqlstate is empty or of the class 57P.
class ConnectionLost : public SqlError {
public:
    using SqlError::SqlError;
};

// A stream's stored position is not where its batch says.
class PositionMoved : public SqlError {
public:
    PositionMoved() : SqlError("", "the stored position was moved") {}
};

struct ConnectOptions {
    std::string application_name;
    std::chrono::milliseconds statement_timeout{10'000};
    // For prepared statements that find a few rows by their keys: by index, too, where they were planned
    // while the tables were small. Such a plan is kept until the next ANALYZE, however fast a table grows.
    bool only_lookups = false;
};

// Connection URI of a DATABASE_URL, with our limits where the URL says nothing of them.
std::string conninfo(const std::string& url, const ConnectOptions& options);

// SOCI's session with the libpq connection below it. Throws SqlError without SQL or parameters.
std::unique_ptr<soci::session> connect(const std::string& url, const ConnectOptions& options);
PGconn* native(soci::session& session);

// SOCI puts bound values into what(); this keeps the first line of the server's message.
[[noreturn]] void rethrow_as_sql_error(const soci::soci_error& error);

struct ResultDeleter {
    void operator()(PGresult* result) const { PQclear(result); }
};
using Result = std::unique_ptr<PGresult, ResultDeleter>;

// One parameter in libpq's form. Binary ones are encoded by binary.hpp.
struct Param {
    const char* data = nullptr;  // null = SQL NULL
    int size = 0;
    int format = 1;
};

// libpq's pipeline mode on a connection of its own: statements are sent together and answered in order.
// Not for use from two threads.
class Pipeline {
public:
    // The server ends a statement itself after its statement_timeout. Silence for longer than that means that
    // it is frozen, or that something on the way swallows what is sent; libpq alone would wait for ever.
    // This is for the timeout that ConnectOptions has by default.
    static constexpr std::chrono::seconds silence_max{15};

    explicit Pipeline(PGconn* connection, std::chrono::milliseconds silence = silence_max);

    void prepare(const char* name, const char* sql);
    void send(const char* prepared, std::span<const Param> params, int result_format = 0);
    // Ends the group and reads the results of all it held, in order. After an error the results up to it are
    // lost and the error is thrown, once the connection is in step again.
    std::vector<Result> sync();

private:
    void check_sent(int sent);
    void wait_for_result();

    PGconn* connection_;
    std::chrono::milliseconds silence_;
};

}  // namespace infra::pg
