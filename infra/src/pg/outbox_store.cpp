#include "infra/pg/outbox_store.hpp"

#include "domain/ingest.hpp"
#include "failpoint.hpp"
#include "pg/binary.hpp"
#include "pg/connection.hpp"
#include "pg/fields.hpp"
#include "pg/outbox_sql.hpp"

#include <boost/json.hpp>
#include <boost/uuid/random_generator.hpp>
#include <soci/postgresql/soci-postgresql.h>

#include <algorithm>
#include <cstdlib>
#include <optional>

namespace infra::pg {
namespace {

using Element = BinaryArray::Element;

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

// The new part of a row's history: one try, or none.
std::string history_of(const domain::ShelfEntry& entry)
{
    boost::json::array tries;
    if (entry.tried) {
        boost::json::object one{{"at", domain::format_time(entry.tried->at)}, {"error", entry.tried->error}};
        if (entry.tried->status != 0) one["status"] = entry.tried->status;
        if (!entry.tried->excerpt.empty()) one["excerpt"] = entry.tried->excerpt;
        tries.push_back(std::move(one));
    }
    return boost::json::serialize(tries);
}

class PgOutboxStore final : public app::OutboxStore {
public:
    PgOutboxStore(std::string url, std::int16_t subscription, LaneShare share,
                  const std::vector<std::string>& topics)
        : url_(std::move(url)),
          share_(share),
          id_(std::int64_t{subscription}),
          self_(domain::to_string(boost::uuids::random_generator()())),
          all_topics_(topics.empty())
    {
        for (const auto& topic : topics) topics_.add_text(topic);
        connect_now();
    }

    app::LaneLease renew() override
    {
        return reconnecting([this] { return renew_leases(); });
    }

    void show_circuit(bool open) override { circuit_open_ = open; }

    void release(const std::vector<std::int16_t>& lanes) override
    {
        reconnecting([&] {
            BinaryArray array(Element::int2);
            for (const auto lane : lanes) array.add(lane);
            const Param params[] = {id_.param(), self_.param(), array.param()};
            pipeline_->send("release", params);
            pipeline_->sync();
            failpoint("worker.released");
        });
    }

    void leave() override
    {
        reconnecting([this] {
            const Param params[] = {id_.param(), self_.param()};
            pipeline_->send("leave", params);
            pipeline_->sync();
            failpoint("worker.left");
        });
    }

    std::vector<domain::OutboxMessage> read(const std::vector<app::LaneRead>& lanes) override
    {
        return reconnecting([&] {
            BinaryArray lane(Element::int2), after(Element::int8), rows_max(Element::int8);
            for (const auto& read : lanes)
                lane.add(read.lane), after.add(read.after), rows_max.add(read.rows_max);
            const Param params[] = {lane.param(), after.param(), rows_max.param(), topics_.param()};
            if (all_topics_) {
                pipeline_->send("read", std::span(params).first<3>());
            } else {
                pipeline_->send("read_topics", params);
            }
            return messages(pipeline_->sync().front().get());
        });
    }

    std::vector<domain::OutboxMessage> fetch(std::int16_t lane,
                                             const std::vector<std::int64_t>& seqs) override
    {
        return reconnecting([&] {
            BinaryArray numbers(Element::int8);
            for (const auto seq : seqs) numbers.add(seq);
            const Text number(std::int64_t{lane});
            const Param params[] = {number.param(), numbers.param(), id_.param()};
            pipeline_->send("fetch", params);
            return messages(pipeline_->sync().front().get());
        });
    }

    std::vector<app::ShelfRequest> requests(const std::vector<std::int16_t>& lanes,
                                            std::int64_t rows_max) override
    {
        return reconnecting([&] {
            BinaryArray numbers(Element::int2);
            for (const auto lane : lanes) numbers.add(lane);
            const Text limit(rows_max);
            const Param params[] = {id_.param(), self_.param(), numbers.param(), limit.param()};
            pipeline_->send("requests", params);
            const auto results = pipeline_->sync();
            failpoint("worker.adopted");
            const auto* result = results.front().get();
            std::vector<app::ShelfRequest> asked;
            asked.reserve(static_cast<std::size_t>(PQntuples(result)));
            for (int row = 0; row < PQntuples(result); ++row)
                asked.push_back({lane_at(result, row), shelf_entry(result, row)});
            return asked;
        });
    }

    std::vector<std::int16_t> settle(const std::vector<app::LaneSettlement>& settlements) override
    {
        return reconnecting([&] { return settle_all(settlements); });
    }

private:
    void connect_now()
    {
        session_ = connect(url_, {.application_name = "polis-outbox-worker", .only_lookups = true});
        pipeline_.emplace(native(*session_));
        pipeline_->prepare("alive", alive_sql);
        pipeline_->prepare("share", share_sql);
        pipeline_->prepare("forget", forget_sql);
        pipeline_->prepare("renew", renew_sql);
        pipeline_->prepare("acquire", acquire_sql);
        pipeline_->prepare("cursor", cursor_sql);
        pipeline_->prepare("release", release_sql);
        pipeline_->prepare("leave", leave_sql);
        pipeline_->prepare("shelf", shelf_sql);
        pipeline_->prepare("read", read_sql);
        pipeline_->prepare("read_topics", read_topics_sql);
        pipeline_->prepare("fetch", fetch_sql);
        pipeline_->prepare("requests", requests_sql);
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
        const Text circuit(std::int64_t{circuit_open_ ? 1 : 0});
        const Param self[] = {self_.param(), id_.param(), circuit.param()};
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
        if (share_ == LaneShare::everything && !lease.disabled)
            lease.elsewhere = share - lease.kept.size() - lease.acquired.size();
        return lease;
    }

    std::vector<app::LeasedLane> acquire(std::size_t lanes_max)
    {
        const Text limit(static_cast<std::int64_t>(lanes_max));
        const Param params[] = {id_.param(), self_.param(), limit.param()};
        pipeline_->send("acquire", params);
        const auto acquired = pipeline_->sync();
        failpoint("worker.leased");
        std::vector<app::LeasedLane> lanes;
        BinaryArray numbers(Element::int2);
        for (int row = 0; row < PQntuples(acquired.front().get()); ++row) {
            const auto* result = acquired.front().get();
            lanes.push_back({.lane = lane_at(result, row), .epoch = integer(result, row, 1)});
            numbers.add(lanes.back().lane);
        }
        if (lanes.empty()) return lanes;
        const Param of_lanes[] = {id_.param(), numbers.param()};
        pipeline_->send("cursor", of_lanes);
        pipeline_->send("shelf", of_lanes);
        const auto found = pipeline_->sync();
        for (int row = 0; row < PQntuples(found[0].get()); ++row)
            lane_of(lanes, found[0].get(), row).acked_seq = integer(found[0].get(), row, 1);
        for (int row = 0; row < PQntuples(found[1].get()); ++row)
            add_to_shelf(lane_of(lanes, found[1].get(), row), found[1].get(), row);
        return lanes;
    }

    static app::LeasedLane& lane_of(std::vector<app::LeasedLane>& lanes, const PGresult* result, int row)
    {
        return *std::find_if(lanes.begin(), lanes.end(),
                             [number = lane_at(result, row)](const auto& l) { return l.lane == number; });
    }

    static void add_to_shelf(app::LeasedLane& lane, const PGresult* result, int row)
    {
        if (*PQgetvalue(result, row, 6) == 't') {
            lane.shelf.push_back(shelf_entry(result, row));
        } else {
            lane.finished.insert(integer(result, row, 1));
        }
    }

    static domain::ShelfEntry shelf_entry(const PGresult* result, int row)
    {
        return {.seq = integer(result, row, 1),
                .key_hash = integer(result, row, 2),
                .attempts = static_cast<std::uint32_t>(integer(result, row, 3)),
                .next_at = domain::TimePoint{std::chrono::microseconds{integer(result, row, 4)}},
                .last_error = PQgetvalue(result, row, 5),
                .parked = *PQgetvalue(result, row, 7) == 't'};
    }

    static std::vector<domain::OutboxMessage> messages(const PGresult* result)
    {
        std::vector<domain::OutboxMessage> rows;
        rows.reserve(static_cast<std::size_t>(PQntuples(result)));
        for (int row = 0; row < PQntuples(result); ++row) {
            rows.push_back({lane_at(result, row),
                            integer(result, row, 1),
                            integer(result, row, 2),
                            domain::parse_uuid(PQgetvalue(result, row, 3)).value(),
                            PQgetvalue(result, row, 4),
                            std::string(PQgetvalue(result, row, 5),
                                        static_cast<std::size_t>(PQgetlength(result, row, 5))),
                            PQgetvalue(result, row, 6),
                            {PQgetvalue(result, row, 7), PQgetvalue(result, row, 8)}});
            rows.back().due_at = optional_time(result, row, 9);
            rows.back().attempts = static_cast<std::uint32_t>(integer(result, row, 10));
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
        failpoint("worker.settling");
        const auto results = pipeline_->sync();
        failpoint("worker.settled");
        std::set<std::int16_t> written;
        for (const auto& result : results) {
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
        BinaryArray adopted(Element::int8);
        BinaryArray ahead(Element::int8), ahead_key(Element::int8);
        BinaryArray tried(Element::text), dead_reason(Element::text), dead_tried(Element::text);
        for (const auto& row : s.shelved) {
            seq.add(row.seq);
            key_hash.add(row.key_hash);
            attempts.add(static_cast<std::int64_t>(row.attempts));
            next_at.add_time(row.next_at);
            row.last_error.empty() ? error.add_null() : error.add_text(row.last_error);
            tried.add_text(history_of(row));
            adopted.add(std::int64_t{row.adopted ? 1 : 0});
        }
        for (const auto number : s.delivered) delivered.add(number);
        for (const auto& row : s.ahead) ahead.add(row.seq), ahead_key.add(row.key_hash);
        for (const auto& row : s.dead) {
            dead.add(row.seq);
            dead_attempts.add(static_cast<std::int64_t>(row.attempts));
            dead_error.add_text(row.last_error);
            dead_reason.add_text(domain::to_string(row.blame));
            dead_tried.add_text(history_of(row));
        }
        const Text lane(std::int64_t{entry.lane}), acked(s.acked_seq), epoch(entry.epoch);
        const Text gone(std::int64_t{s.destination_gone ? 1 : 0});
        const Param params[] = {
            id_.param(),         lane.param(),          acked.param(),      epoch.param(), seq.param(),
            key_hash.param(),    attempts.param(),      next_at.param(),    error.param(), delivered.param(),
            dead.param(),        dead_attempts.param(), dead_error.param(), gone.param(),  tried.param(),
            dead_reason.param(), dead_tried.param(),    adopted.param(),    ahead.param(), ahead_key.param()};
        pipeline_->send("settle", params);
    }

    const std::string url_;
    const LaneShare share_;
    const Text id_;  // of the subscription
    bool circuit_open_ = false;
    const Text self_;  // this incarnation: a restarted worker is another owner
    const bool all_topics_;
    BinaryArray topics_{Element::text};
    std::unique_ptr<soci::session> session_;
    std::optional<Pipeline> pipeline_;
};

}  // namespace

std::unique_ptr<app::OutboxStore> make_outbox_store(const std::string& database_url,
                                                    std::int16_t subscription, LaneShare share,
                                                    const std::vector<std::string>& topics)
{
    return std::make_unique<PgOutboxStore>(database_url, subscription, share, topics);
}

}  // namespace infra::pg
