#include "pg/connection.hpp"

#include "failpoint.hpp"

#include <soci/postgresql/soci-postgresql.h>

#include <cerrno>
#include <optional>
#include <poll.h>
#include <utility>

namespace infra::pg {
namespace {

std::string first_line(std::string_view text) { return std::string(text.substr(0, text.find('\n'))); }

// SOCI takes the text apart at its blanks and glues some of it together wrongly, so there must be none.
std::string percent_encoded(std::string_view value)
{
    constexpr std::string_view digits = "0123456789ABCDEF";
    std::string out;
    for (const char c : value) {
        const auto byte = static_cast<unsigned char>(c);
        const bool plain = (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') ||
                           (byte >= 'a' && byte <= 'z') || c == '-' || c == '.' || c == '_' || c == '/';
        if (plain) {
            out.push_back(c);
        } else {
            out.append({'%', digits[byte >> 4], digits[byte & 15]});
        }
    }
    return out;
}

bool is_lost(PGconn* connection, std::string_view sqlstate)
{
    return PQstatus(connection) != CONNECTION_OK || sqlstate.starts_with("57P") || sqlstate.starts_with("08");
}

[[noreturn]] void fail(PGconn* connection, const PGresult* result)
{
    const char* state = result == nullptr ? nullptr : PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char* primary = result == nullptr ? nullptr : PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    const std::string sqlstate = state == nullptr ? "" : state;
    const std::string message = primary == nullptr ? first_line(PQerrorMessage(connection)) : primary;
    if (is_lost(connection, sqlstate)) throw ConnectionLost(sqlstate, message);
    const bool names_constraint =
        result != nullptr && PQresultErrorField(result, PG_DIAG_CONSTRAINT_NAME) != nullptr;
    throw SqlError(sqlstate, message, names_constraint);
}

}  // namespace

std::string conninfo(const std::string& url, const ConnectOptions& options)
{
    char* parse_error = nullptr;
    const std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)> parsed(
        PQconninfoParse(url.c_str(), &parse_error), &PQconninfoFree);
    if (!parsed) {
        PQfreemem(parse_error);
        throw SqlError("", "DATABASE_URL is not a PostgreSQL connection URI");
    }
    std::string text = "postgresql://";
    auto add = [&text, mark = '?'](std::string_view key, std::string_view value) mutable {
        text.append(1, std::exchange(mark, '&')).append(key).append("=").append(percent_encoded(value));
    };
    // The server's limits come first, so that what the URL says about `options` is added and wins.
    std::string server_options = "-c statement_timeout=" + std::to_string(options.statement_timeout.count()) +
                                 " -c lock_timeout=5000 -c idle_in_transaction_session_timeout=15000";
    // What is off is not forbidden but priced so high that PostgreSQL would compile the plan.
    if (options.only_lookups)
        server_options += " -c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off -c jit=off";
    add("connect_timeout", "3");
    add("tcp_user_timeout", "5000");
    add("keepalives_idle", "30");
    add("application_name", options.application_name);
    for (const auto* option = parsed.get(); option->keyword != nullptr; ++option) {
        if (option->val == nullptr) continue;
        if (std::string_view(option->keyword) == "options") {
            server_options += std::string(" ") + option->val;
        } else {
            add(option->keyword, option->val);
        }
    }
    add("options", server_options);
    return text;
}

void rethrow_as_sql_error(const soci::soci_error& error)
{
    if (const auto* pg = dynamic_cast<const soci::postgresql_soci_error*>(&error)) {
        const std::string state = pg->sqlstate();
        if (state.empty() || state.starts_with("08") || state.starts_with("57P")) {
            throw ConnectionLost(state, first_line(pg->get_error_message()));
        }
        throw SqlError(state, first_line(pg->get_error_message()));
    }
    throw SqlError("", first_line(error.get_error_message()));
}

std::unique_ptr<soci::session> connect(const std::string& url, const ConnectOptions& options)
{
    const std::string text = conninfo(url, options);
    try {
        auto session = std::make_unique<soci::session>(soci::postgresql, text);
        // libpq would write notices, and the server's farewell, to stderr between the lines of the log.
        PQsetNoticeProcessor(
            native(*session), [](void*, const char*) {}, nullptr);
        return session;
    } catch (const soci::soci_error& error) {
        // SOCI says only that it failed; the line below is libpq's, with the reason.
        const std::string text_of_both = error.get_error_message();
        const std::string_view reason = std::string_view(text_of_both).substr(text_of_both.find('\n') + 1);
        throw ConnectionLost("08001", first_line(reason.empty() ? text_of_both : reason));
    }
}

PGconn* native(soci::session& session)
{
    // dynamic_cast does not link: Debian's libsoci does not export the type information.
    return static_cast<soci::postgresql_session_backend*>(session.get_backend())->conn_;
}

Pipeline::Pipeline(PGconn* connection, std::chrono::milliseconds silence)
    : connection_(connection), silence_(silence)
{
    if (PQenterPipelineMode(connection_) != 1) throw ConnectionLost("", "the connection is not idle");
}

void Pipeline::check_sent(int sent)
{
    if (sent != 1) throw ConnectionLost("", first_line(PQerrorMessage(connection_)));
}

void Pipeline::prepare(const char* name, const char* sql)
{
    check_sent(PQsendPrepare(connection_, name, sql, 0, nullptr));
}

void Pipeline::send(const char* prepared, std::span<const Param> params, int result_format)
{
    std::vector<const char*> values;
    std::vector<int> sizes;
    std::vector<int> formats;
    for (const auto& param : params) {
        values.push_back(param.data);
        sizes.push_back(param.size);
        formats.push_back(param.format);
    }
    check_sent(PQsendQueryPrepared(connection_, prepared, static_cast<int>(params.size()), values.data(),
                                   sizes.data(), formats.data(), result_format));
}

void Pipeline::wait_for_result()
{
    while (PQisBusy(connection_) != 0) {
        pollfd readable{PQsocket(connection_), POLLIN, 0};
        const int ready = ::poll(&readable, 1, static_cast<int>(silence_.count()));
        if (ready < 0 && errno == EINTR) continue;
        if (ready == 0) throw ConnectionLost("", "the database is silent");
        if (PQconsumeInput(connection_) != 1) return;  // the result tells of it
    }
}

std::vector<Result> Pipeline::sync()
{
    if (PQpipelineSync(connection_) != 1) throw ConnectionLost("", first_line(PQerrorMessage(connection_)));
    failpoint("pipeline.sent");
    std::vector<Result> results;
    Result failed;
    while (true) {
        wait_for_result();
        Result result(PQgetResult(connection_));
        if (!result) {
            if (PQstatus(connection_) != CONNECTION_OK) fail(connection_, failed.get());
            continue;  // the end of one statement's results
        }
        const auto status = PQresultStatus(result.get());
        if (status == PGRES_PIPELINE_SYNC) break;
        if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) {
            results.push_back(std::move(result));
        } else if (status != PGRES_PIPELINE_ABORTED && !failed) {
            failed = std::move(result);
        }
    }
    if (failed) fail(connection_, failed.get());
    return results;
}

}  // namespace infra::pg
