#include "infra/pg/outbox_store.hpp"

#include "domain/ingest.hpp"
#include "pg/binary.hpp"
#include "pg/connection.hpp"

#include <boost/uuid/random_generator.hpp>
#include <soci/postgresql/soci-postgresql.h>

#include <algorithm>
#include <cstdlib>
#include <optional>

namespace infra::pg {
namespace {

using Element = BinaryArray::Element;

// $1 = this worker. Workers that were not seen for the length of a lease do not count.
constexpr auto alive_sql =
    "INSERT INTO outbox_workers (id, seen_at) VALUES ($1::uuid, now()) "
    "ON CONFLICT (id) DO UPDATE SET seen_at = now()";
constexpr auto share_sql =
    "SELECT ceil((SELECT count(*) FROM lane_cursors WHERE subscription_id = $1::int2)::numeric / "
    "greatest(1, (SELECT count(*) FROM outbox_workers WHERE seen_at > now() - interval '10 s')))::int, "
    "(SELECT disabled FROM subscriptions WHERE id = $1::int2)";
constexpr auto forget_sql = "DELETE FROM outbox_workers WHERE seen_at < now() - interval '1 min'";
constexpr auto renew_sql =
    "UPDATE lane_cursors SET lease_until = now() + interval '10 s' "
    "WHERE subscription_id = $1::int2 AND owner = $2::uuid RETURNING lane";
constexpr auto acquire_sql =
    "UPDATE lane_cursors c SET owner = $2::uuid, epoch = c.epoch + 1, lease_until = now() + interval '10 s' "
    "FROM (SELECT lane FROM lane_cursors WHERE subscription_id = $1::int2 AND lease_until < now() "
    "AND owner IS DISTINCT FROM $2::uuid ORDER BY lane LIMIT $3::int8 FOR UPDATE SKIP LOCKED) free "
    "WHERE c.subscription_id = $1::int2 AND c.lane = free.lane RETURNING c.lane, c.epoch, c.acked_seq";
constexpr auto release_sql =
    "UPDATE lane_cursors SET owner = NULL, lease_until = '-infinity' "
    "WHERE subscription_id = $1::int2 AND owner = $2::uuid AND lane = ANY($3::int2[])";
constexpr auto leave_sql =
    "WITH gone AS (DELETE FROM outbox_workers WHERE id = $2::uuid) "
    "UPDATE lane_cursors SET owner = NULL, lease_until = '-infinity' "
    "WHERE subscription_id = $1::int2 AND owner = $2::uuid";
constexpr auto shelf_sql =
    "SELECT r.lane, r.seq, r.key_hash, r.attempts, (extract(epoch FROM r.next_at) * 1000000)::bigint, "
    "coalesce(r.last_error, ''), r.delivered_at IS NULL FROM outbox_retries r "
    "JOIN lane_cursors c USING (subscription_id, lane) WHERE r.subscription_id = $1::int2 AND r.lane = "
    "ANY($2::int2[]) "
    "AND (r.delivered_at IS NULL OR r.seq > c.acked_seq) UNION ALL "
    "SELECT d.lane, d.seq, 0, 0, 0, '', false FROM dead_letters d JOIN lane_cursors c USING "
    "(subscription_id, lane) "
    "WHERE d.subscription_id = $1::int2 AND d.lane = ANY($2::int2[]) AND d.seq > c.acked_seq ORDER BY 1, 2";
constexpr auto read_sql =
    "SELECT o.lane, o.seq, o.key_hash, o.event_id, o.topic, o.payload "
    "FROM unnest($1::int2[], $2::int8[], $3::int8[]) l(lane, after, rows_max) CROSS JOIN LATERAL "
    "(SELECT * FROM outbox x WHERE x.lane = l.lane AND x.seq > l.after ORDER BY x.seq LIMIT l.rows_max) o";
constexpr auto fetch_sql =
    "SELECT o.lane, o.seq, o.key_hash, o.event_id, o.topic, o.payload FROM outbox o "
    "WHERE o.lane = ANY($1::int2[]) AND o.seq = ANY($2::int8[]) ORDER BY o.seq";
// The success path: one cursor and one line of progress a lane, whatever the number of messages.
constexpr auto advance_sql =
    "WITH moved AS (UPDATE lane_cursors c SET acked_seq = a.seq "
    "FROM unnest($2::int2[], $3::int8[], $4::int8[]) a(lane, seq, epoch) "
    "WHERE c.subscription_id = $1::int2 AND c.lane = a.lane AND c.epoch = a.epoch RETURNING c.lane, "
    "c.acked_seq), "
    "told AS (INSERT INTO lane_progress (subscription_id, lane, acked_seq) SELECT $1::int2, lane, acked_seq "
    "FROM moved "
    "ON CONFLICT DO NOTHING) SELECT lane FROM moved";
constexpr auto settle_sql = R"(
WITH moved AS (
    UPDATE lane_cursors SET acked_seq = $3::int8
    WHERE subscription_id = $1::int2 AND lane = $2::int2 AND epoch = $4::int8 RETURNING lane),
told AS (
    INSERT INTO lane_progress (subscription_id, lane, acked_seq) SELECT $1::int2, lane, $3::int8 FROM moved
    ON CONFLICT DO NOTHING),
shelved AS (
    INSERT INTO outbox_retries (subscription_id, lane, seq, key_hash, attempts, next_at, last_error)
    SELECT $1::int2, moved.lane, t.seq, t.key_hash, t.attempts, t.next_at, t.last_error
    FROM moved, unnest($5::int8[], $6::int8[], $7::int8[], $8::timestamptz[], $9::text[])
         t(seq, key_hash, attempts, next_at, last_error)
    ON CONFLICT (subscription_id, lane, seq) DO UPDATE
    SET attempts = EXCLUDED.attempts, next_at = EXCLUDED.next_at, last_error = EXCLUDED.last_error),
delivered AS (
    UPDATE outbox_retries r SET delivered_at = clock_timestamp() FROM moved
    WHERE r.subscription_id = $1::int2 AND r.lane = moved.lane AND r.seq = ANY($10::int8[])),
dead AS (
    INSERT INTO dead_letters (subscription_id, lane, seq, key_hash, event_id, topic, payload, attempts, last_error)
    SELECT $1::int2, o.lane, o.seq, o.key_hash, o.event_id, o.topic, o.payload, t.attempts, t.last_error
    FROM moved JOIN outbox o ON o.lane = moved.lane
    JOIN unnest($11::int8[], $12::int8[], $13::text[]) t(seq, attempts, last_error) ON o.seq = t.seq
    ON CONFLICT DO NOTHING),
off_shelf AS (
    DELETE FROM outbox_retries r USING moved
    WHERE r.subscription_id = $1::int2 AND r.lane = moved.lane AND r.seq = ANY($11::int8[])),
gone AS (
    UPDATE subscriptions SET disabled = true FROM moved WHERE id = $1::int2 AND $14::int8 = 1)
SELECT lane FROM moved)";

std::int64_t integer(const PGresult* result, int row, int column)
{
    return std::strtoll(PQgetvalue(result, row, column), nullptr, 10);
}

std::int16_t lane_at(const PGresult* result, int row)
{
    return static_cast<std::int16_t>(integer(result, row, 0));
}

class Text {
public:
    explicit Text(std::string text) : text_(std::move(text)) {}
    explicit Text(std::int64_t value) : text_(std::to_string(value)) {}
    Param param() const { return {text_.c_str(), static_cast<int>(text_.size()), 0}; }

private:
    std::string text_;
};

class PgOutboxStore final : public app::OutboxStore {
public:
    PgOutboxStore(std::string url, std::string subscription, LaneShare share)
        : url_(std::move(url)),
          name_(std::move(subscription)),
          share_(share),
          self_(domain::to_string(boost::uuids::random_generator()()))
    {
        connect_now();
    }

    app::LaneLease renew() override
    {
        return reconnecting([this] { return renew_leases(); });
    }

    void release(const std::vector<std::int16_t>& lanes) override
    {
        reconnecting([&] {
            BinaryArray array(Element::int2);
            for (const auto lane : lanes) array.add(lane);
            const Param params[] = {id_.param(), self_.param(), array.param()};
            pipeline_->send("release", params);
            pipeline_->sync();
        });
    }

    void leave() override
    {
        reconnecting([this] {
            const Param params[] = {id_.param(), self_.param()};
            pipeline_->send("leave", params);
            pipeline_->sync();
        });
    }

    std::vector<domain::OutboxMessage> read(const std::vector<app::LaneRead>& lanes) override
    {
        return reconnecting([&] {
            BinaryArray lane(Element::int2), after(Element::int8), rows_max(Element::int8);
            for (const auto& read : lanes)
                lane.add(read.lane), after.add(read.after), rows_max.add(read.rows_max);
            const Param params[] = {lane.param(), after.param(), rows_max.param()};
            pipeline_->send("read", params);
            return messages(pipeline_->sync().front().get());
        });
    }

    std::vector<domain::OutboxMessage> fetch(std::int16_t lane,
                                             const std::vector<std::int64_t>& seqs) override
    {
        return reconnecting([&] {
            BinaryArray lanes(Element::int2), numbers(Element::int8);
            lanes.add(lane);
            for (const auto seq : seqs) numbers.add(seq);
            const Param params[] = {lanes.param(), numbers.param()};
            pipeline_->send("fetch", params);
            return messages(pipeline_->sync().front().get());
        });
    }

    std::vector<std::int16_t> settle(const std::vector<app::LaneSettlement>& settlements) override
    {
        return reconnecting([&] { return settle_all(settlements); });
    }

private:
    void connect_now()
    {
        session_ = connect(url_, {"polis-outbox-worker"});
        soci::indicator found = soci::i_null;
        int id = 0;
        try {
            *session_ << "SELECT id::int FROM subscriptions WHERE name = :name", soci::use(name_),
                soci::into(id, found);
        } catch (const soci::soci_error& error) {
            rethrow_as_sql_error(error);
        }
        if (!session_->got_data()) throw std::runtime_error("there is no subscription " + name_);
        id_ = Text(std::int64_t{id});
        pipeline_.emplace(native(*session_));
        pipeline_->prepare("alive", alive_sql);
        pipeline_->prepare("share", share_sql);
        pipeline_->prepare("forget", forget_sql);
        pipeline_->prepare("renew", renew_sql);
        pipeline_->prepare("acquire", acquire_sql);
        pipeline_->prepare("release", release_sql);
        pipeline_->prepare("leave", leave_sql);
        pipeline_->prepare("shelf", shelf_sql);
        pipeline_->prepare("read", read_sql);
        pipeline_->prepare("fetch", fetch_sql);
        pipeline_->prepare("advance", advance_sql);
        pipeline_->prepare("settle", settle_sql);
        pipeline_->sync();
    }

    // A connection that was lost is replaced by the next call.
    template <class Action>
    auto reconnecting(Action action) -> decltype(action())
    {
        if (!session_) connect_now();
        try {
            return action();
        } catch (const ConnectionLost&) {
            pipeline_.reset();
            session_.reset();
            throw;
        }
    }

    app::LaneLease renew_leases()
    {
        const Param self[] = {self_.param()};
        const Param id[] = {id_.param()};
        const Param both[] = {id_.param(), self_.param()};
        pipeline_->send("alive", self);
        pipeline_->send("forget", {});
        pipeline_->send("share", id);
        pipeline_->send("renew", both);
        const auto results = pipeline_->sync();
        const auto share = share_ == LaneShare::everything
                               ? static_cast<std::size_t>(domain::lane_count)
                               : static_cast<std::size_t>(integer(results[2].get(), 0, 0));
        app::LaneLease lease;
        lease.disabled = *PQgetvalue(results[2].get(), 0, 1) == 't';
        for (int row = 0; row < PQntuples(results[3].get()); ++row)
            lease.kept.push_back(lane_at(results[3].get(), row));
        std::sort(lease.kept.begin(), lease.kept.end());
        if (lease.kept.size() > share) {
            lease.surplus.assign(lease.kept.begin() + static_cast<std::ptrdiff_t>(share), lease.kept.end());
        } else if (lease.kept.size() < share && !lease.disabled) {
            lease.acquired = acquire(share - lease.kept.size());
        }
        return lease;
    }

    std::vector<app::LeasedLane> acquire(std::size_t lanes_max)
    {
        const Text limit(static_cast<std::int64_t>(lanes_max));
        const Param params[] = {id_.param(), self_.param(), limit.param()};
        pipeline_->send("acquire", params);
        const auto acquired = pipeline_->sync();
        std::vector<app::LeasedLane> lanes;
        BinaryArray numbers(Element::int2);
        for (int row = 0; row < PQntuples(acquired.front().get()); ++row) {
            const auto* result = acquired.front().get();
            lanes.push_back({lane_at(result, row), integer(result, row, 1), integer(result, row, 2)});
            numbers.add(lanes.back().lane);
        }
        if (lanes.empty()) return lanes;
        const Param of_lanes[] = {id_.param(), numbers.param()};
        pipeline_->send("shelf", of_lanes);
        const auto shelf = pipeline_->sync();
        for (int row = 0; row < PQntuples(shelf.front().get()); ++row)
            add_to_shelf(lanes, shelf.front().get(), row);
        return lanes;
    }

    static void add_to_shelf(std::vector<app::LeasedLane>& lanes, const PGresult* result, int row)
    {
        const auto lane =
            std::find_if(lanes.begin(), lanes.end(),
                         [number = lane_at(result, row)](const auto& l) { return l.lane == number; });
        const auto seq = integer(result, row, 1);
        if (*PQgetvalue(result, row, 6) != 't') {
            lane->finished.insert(seq);
            return;
        }
        lane->shelf.push_back({seq, integer(result, row, 2),
                               static_cast<std::uint32_t>(integer(result, row, 3)),
                               domain::TimePoint{std::chrono::microseconds{integer(result, row, 4)}},
                               PQgetvalue(result, row, 5)});
    }

    static std::vector<domain::OutboxMessage> messages(const PGresult* result)
    {
        std::vector<domain::OutboxMessage> rows;
        rows.reserve(static_cast<std::size_t>(PQntuples(result)));
        for (int row = 0; row < PQntuples(result); ++row) {
            rows.push_back({lane_at(result, row), integer(result, row, 1), integer(result, row, 2),
                            domain::parse_uuid(PQgetvalue(result, row, 3)).value(),
                            PQgetvalue(result, row, 4),
                            std::string(PQgetvalue(result, row, 5),
                                        static_cast<std::size_t>(PQgetlength(result, row, 5)))});
        }
        return rows;
    }

    std::vector<std::int16_t> settle_all(const std::vector<app::LaneSettlement>& settlements)
    {
        BinaryArray lanes(Element::int2), seqs(Element::int8), epochs(Element::int8);
        bool any_plain = false;
        for (const auto& entry : settlements) {
            if (entry.settlement.exceptional()) {
                send_exceptional(entry);
                continue;
            }
            any_plain = true;
            lanes.add(entry.lane);
            seqs.add(entry.settlement.acked_seq);
            epochs.add(entry.epoch);
        }
        if (any_plain) {
            const Param params[] = {id_.param(), lanes.param(), seqs.param(), epochs.param()};
            pipeline_->send("advance", params);
        }
        std::set<std::int16_t> written;
        for (const auto& result : pipeline_->sync()) {
            for (int row = 0; row < PQntuples(result.get()); ++row)
                written.insert(lane_at(result.get(), row));
        }
        std::vector<std::int16_t> lost;
        for (const auto& entry : settlements) {
            if (!written.contains(entry.lane)) lost.push_back(entry.lane);
        }
        return lost;
    }

    void send_exceptional(const app::LaneSettlement& entry)
    {
        const auto& s = entry.settlement;
        BinaryArray seq(Element::int8), key_hash(Element::int8), attempts(Element::int8),
            next_at(Element::timestamptz);
        BinaryArray error(Element::text), delivered(Element::int8);
        BinaryArray dead(Element::int8), dead_attempts(Element::int8), dead_error(Element::text);
        for (const auto& row : s.shelved) {
            seq.add(row.seq);
            key_hash.add(row.key_hash);
            attempts.add(static_cast<std::int64_t>(row.attempts));
            next_at.add_time(row.next_at);
            row.last_error.empty() ? error.add_null() : error.add_text(row.last_error);
        }
        for (const auto number : s.delivered) delivered.add(number);
        for (const auto& row : s.dead) {
            dead.add(row.seq);
            dead_attempts.add(static_cast<std::int64_t>(row.attempts));
            dead_error.add_text(row.last_error);
        }
        const Text lane(std::int64_t{entry.lane}), acked(s.acked_seq), epoch(entry.epoch);
        const Text gone(std::int64_t{s.destination_gone ? 1 : 0});
        const Param params[] = {
            id_.param(),      lane.param(),          acked.param(),      epoch.param(), seq.param(),
            key_hash.param(), attempts.param(),      next_at.param(),    error.param(), delivered.param(),
            dead.param(),     dead_attempts.param(), dead_error.param(), gone.param()};
        pipeline_->send("settle", params);
    }

    const std::string url_;
    const std::string name_;
    const LaneShare share_;
    const Text self_;  // this incarnation: a restarted worker is another owner
    Text id_{std::string()};
    std::unique_ptr<soci::session> session_;
    std::optional<Pipeline> pipeline_;
};

}  // namespace

std::unique_ptr<app::OutboxStore> make_outbox_store(const std::string& database_url,
                                                    const std::string& subscription, LaneShare share)
{
    return std::make_unique<PgOutboxStore>(database_url, subscription, share);
}

}  // namespace infra::pg
