#include "infra/pg/retention.hpp"

#include "failpoint.hpp"
#include "pg/connection.hpp"
#include "pg/fields.hpp"
#include "pg/retention_sql.hpp"

#include <fmt/format.h>

#include <optional>

namespace infra::pg {
namespace {

constexpr auto lock_not_available = "55P03";
constexpr std::int64_t rows_per_transaction = 5000;
constexpr std::int64_t blocks_per_transaction = 1024;  // 8 MiB of a table of keys
// The configuration allows no window of derived keys to be longer (config/options.cpp), so a key that is
// older suppresses nothing. Looked for once a month of it.
constexpr auto derived_keys_kept = std::chrono::hours(24 * 366);
constexpr auto derived_keys_step = std::chrono::hours(24 * 30);

using Texts = std::vector<std::string>;

// A connection whose statements are sent one by one.
class Statements {
public:
    explicit Statements(const std::string& url)
        : session_(connect(url, {"polis retention"})), pipeline_(native(*session_))
    {
    }

    Result execute(const std::string& sql, const Texts& values = {})
    {
        std::vector<Param> params;
        for (const auto& value : values) params.push_back({value.c_str(), static_cast<int>(value.size()), 0});
        pipeline_.prepare("", sql.c_str());
        pipeline_.send("", params);
        return std::move(pipeline_.sync().back());
    }

    std::uint64_t changed(const std::string& sql, const Texts& values)
    {
        return rows_affected(execute(sql, values).get());
    }

    // Names come from the catalogue, and are quoted all the same.
    std::string quoted(const std::string& name) const
    {
        const std::unique_ptr<char, decltype(&PQfreemem)> text(
            PQescapeIdentifier(native(*session_), name.data(), name.size()), &PQfreemem);
        return text.get();
    }

private:
    std::unique_ptr<soci::session> session_;
    Pipeline pipeline_;
};

std::vector<domain::NeededMessage> read_needed(Statements& statements)
{
    std::vector<domain::NeededMessage> needed;
    const auto rows = statements.execute(needed_sql);
    needed.reserve(static_cast<std::size_t>(PQntuples(rows.get())));
    for (int row = 0; row < PQntuples(rows.get()); ++row)
        needed.push_back(
            {PQgetvalue(rows.get(), row, 0), integer(rows.get(), row, 1), time_at(rows.get(), row, 2)});
    return needed;
}

domain::RetentionState read_state(Statements& statements)
{
    domain::RetentionState state;
    state.next_seq = integer(statements.execute(next_seq_sql).get(), 0, 0);
    const auto events = statements.execute(event_partitions_sql);
    for (int row = 0; row < PQntuples(events.get()); ++row)
        state.events.push_back({PQgetvalue(events.get(), row, 0), time_at(events.get(), row, 1)});
    const auto outbox = statements.execute(outbox_partitions_sql);
    for (int row = 0; row < PQntuples(outbox.get()); ++row) {
        const std::string name = PQgetvalue(outbox.get(), row, 0);
        const auto ends = statements.execute(fmt::format(ends_of_partition_sql, statements.quoted(name)));
        state.outbox.push_back({name, integer(outbox.get(), row, 1), integer(outbox.get(), row, 2),
                                optional_time(ends.get(), 0, 0), optional_time(ends.get(), 0, 1)});
    }
    state.needed = read_needed(statements);
    return state;
}

// One look: its connection holds the lock of the retention until it is done, or lost.
class Run {
public:
    Run(const std::string& url, const domain::RetentionPolicy& policy, const std::function<bool()>& stopping,
        std::optional<domain::TimePoint> now)
        : statements_(url), policy_(policy), stopping_(stopping), now_(now ? *now : database_time())
    {
    }

    RetentionReport perform()
    {
        if (*PQgetvalue(statements_.execute("SELECT pg_try_advisory_lock(7003)").get(), 0, 0) != 't') {
            report_.elsewhere = true;
            return std::move(report_);
        }
        failpoint("retention.locked");
        statements_.execute("SET lock_timeout = " + std::to_string(Retention::lock_timeout.count()));
        auto plan = domain::plan_retention(policy_, read_state(statements_), now_);
        report_.blocked = std::move(plan.blocked);
        for (const auto& partition : plan.events) drop_events(partition);
        for (const auto& partition : plan.outbox) drop_outbox(partition);
        if (plan.outbox_begins_anew_at) begin_anew(*plan.outbox_begins_anew_at);
        prune();
        // The server sees a closed connection when it gets to it: the lock is not left to that.
        statements_.execute("SELECT pg_advisory_unlock(7003)");
        return std::move(report_);
    }

private:
    // Not this machine's: one whose clock is a year ahead would drop what is young.
    domain::TimePoint database_time()
    {
        return time_at(
            statements_.execute("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::int8").get(), 0,
            0);
    }

    // The work of one transaction. Somebody else's lock is no failure: it is tried again at the next look.
    template <class Work>
    bool in_transaction(const std::string& subject, Work work)
    {
        if (stopping_()) return false;
        try {
            statements_.execute("BEGIN ISOLATION LEVEL READ COMMITTED");
            const bool wanted = work();
            failpoint("retention.committing");
            statements_.execute(wanted ? "COMMIT" : "ROLLBACK");
            failpoint("retention.committed");
            return wanted;
        } catch (const ConnectionLost&) {
            throw;
        } catch (const SqlError& error) {
            statements_.execute("ROLLBACK");
            if (error.sqlstate() != lock_not_available) throw;
            report_.busy.push_back(subject);
            return false;
        }
    }

    void drop_events(const domain::EventPartition& partition)
    {
        const bool done = in_transaction(partition.name, [&] {
            statements_.execute("DROP TABLE " + statements_.quoted(partition.name));
            return true;
        });
        if (done) report_.dropped.push_back(partition.name);
    }

    // Decided once more where nothing can change: no subscription is made, no message is written and no
    // cursor of a new one is overlooked while these locks are held. The same order as everywhere:
    // subscriptions, fence, outbox.
    void drop_outbox(const domain::OutboxPartition& partition)
    {
        const bool done = in_transaction(partition.name, [&] {
            statements_.execute("LOCK TABLE subscriptions IN SHARE MODE");
            statements_.execute("SELECT outbox_fence()");
            statements_.execute("LOCK TABLE ONLY outbox IN ACCESS EXCLUSIVE MODE");
            const auto needed = read_needed(statements_);
            if (const auto* message = domain::needed_of(partition, needed)) {
                report_.blocked.push_back({partition.name, message->subscription});
                return false;
            }
            statements_.execute("DROP TABLE " + statements_.quoted(partition.name));
            return true;
        });
        if (done) report_.dropped.push_back(partition.name);
    }

    // Numbers are only ever skipped forward, and under the fence, so no cursor notices more than a gap.
    void begin_anew(std::int64_t first)
    {
        report_.outbox_began_anew = in_transaction("outbox_seq", [&] {
            statements_.execute("SELECT outbox_fence()");
            const auto moved = statements_.execute(
                "SELECT setval('outbox_seq', $1::int8 - 1) FROM outbox_seq WHERE last_value < $1::int8 - 1",
                {std::to_string(first)});
            return PQntuples(moved.get()) > 0;
        });
    }

    void prune()
    {
        const auto first_seq = std::to_string(integer(statements_.execute(first_seq_sql).get(), 0, 0));
        delete_rows("lane_progress", delete_progress_sql, first_seq);
        delete_rows("outbox_retries", delete_shelf_sql, first_seq);
        if (policy_.dead_letters.count() > 0)
            delete_rows("dead_letters", delete_dead_letters_sql,
                        domain::format_time(now_ - policy_.dead_letters));
        if (policy_.quarantine.count() > 0)
            delete_rows("quarantine", delete_quarantine_sql, domain::format_time(now_ - policy_.quarantine));
        prune_keys();
    }

    void delete_rows(std::string_view table, const char* sql, const std::string& limit)
    {
        for (std::uint64_t count = rows_per_transaction; count == rows_per_transaction;) {
            count = 0;
            in_transaction(std::string(table), [&] {
                count = statements_.changed(sql, {limit, std::to_string(rows_per_transaction)});
                return true;
            });
            if (count > 0) report_.deleted[table] += count;
        }
    }

    // A request key lives as long as its event; a derived one, too, and not longer than it can suppress.
    void prune_keys()
    {
        const auto rows = statements_.execute(first_event_sql);
        const auto oldest_event = domain::parse_uuid(PQgetvalue(rows.get(), 0, 0));
        if (!oldest_event) return;
        const auto useless = domain::first_id_at(domain::TimePoint{
            (now_ - derived_keys_kept).time_since_epoch() / derived_keys_step * derived_keys_step});
        remove_keys("request_keys", *oldest_event);
        remove_keys("derived_keys", std::max(*oldest_event, useless));
    }

    void remove_keys(std::string_view table, const domain::Uuid& floor)
    {
        const Texts subject{std::string(table), domain::to_string(floor)};
        if (PQntuples(statements_.execute(keys_done_sql, subject).get()) > 0) return;
        const auto blocks = integer(statements_
                                        .execute("SELECT pg_relation_size($1::regclass) / "
                                                 "current_setting('block_size')::int8",
                                                 {std::string(table)})
                                        .get(),
                                    0, 0);
        const std::string sql = "DELETE FROM " + std::string(table) +
                                " WHERE ctid >= $1::tid AND ctid < $2::tid AND event_id < $3::uuid";
        bool complete = true;
        for (std::int64_t block = 0; block < blocks; block += blocks_per_transaction) {
            const auto tid = [](std::int64_t number) { return "(" + std::to_string(number) + ",0)"; };
            complete =
                in_transaction(std::string(table),
                               [&] {
                                   const auto count = statements_.changed(
                                       sql, {tid(block), tid(block + blocks_per_transaction), subject[1]});
                                   if (count > 0) report_.deleted[table] += count;
                                   return true;
                               }) &&
                complete;
        }
        if (complete && !stopping_()) statements_.execute(set_keys_done_sql, subject);
    }

    Statements statements_;
    const domain::RetentionPolicy& policy_;
    const std::function<bool()>& stopping_;
    const domain::TimePoint now_;
    RetentionReport report_;
};

}  // namespace

Retention::Retention(std::string database_url, domain::RetentionPolicy policy)
    : url_(std::move(database_url)), policy_(policy)
{
}

RetentionReport Retention::run(const std::function<bool()>& stopping,
                               std::optional<domain::TimePoint> now) const
{
    return Run(url_, policy_, stopping, now).perform();
}

}  // namespace infra::pg
