#pragma once

#include "database.hpp"
#include "domain/ingest.hpp"
#include "infra/pg/outbox_store.hpp"

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

// Messages that are put into the outbox by SQL, and workers' stores.
namespace pg_support {

using Lanes = std::vector<std::int16_t>;
using Seqs = std::vector<std::int64_t>;
using StorePtr = std::unique_ptr<app::OutboxStore>;

inline StorePtr open_store(const Database& database, infra::pg::LaneShare share = infra::pg::LaneShare::fair,
                           const std::string& name = "default")
{
    auto session = database.session();
    const auto id = session.number("SELECT id FROM subscriptions WHERE name = '" + name + "'");
    return infra::pg::make_outbox_store(database.url(), static_cast<std::int16_t>(id), share);
}

// One message; returns its number.
inline std::int64_t put_message(Session& session, int lane, std::int64_t key_hash, int number = 0)
{
    const auto n = std::to_string(number);
    return session.number("INSERT INTO outbox (key_hash, event_id, lane, topic, payload) VALUES (" +
                          std::to_string(key_hash) + ", uuid7_floor(now()), " + std::to_string(lane) +
                          ", 'event.bus', '{\"n\": " + n + "}') RETURNING seq");
}

inline Lanes lanes_of(const std::vector<app::LeasedLane>& leased)
{
    Lanes lanes;
    for (const auto& lane : leased) lanes.push_back(lane.lane);
    std::sort(lanes.begin(), lanes.end());
    return lanes;
}

inline Lanes all_lanes()
{
    Lanes lanes;
    for (std::int16_t lane = 0; lane < domain::lane_count; ++lane) lanes.push_back(lane);
    return lanes;
}

// As if the lease of every lane had ended, and the workers that held them had been silent for that long.
inline void let_leases_end(Session& session)
{
    session.execute("UPDATE lane_leases SET lease_until = now() - interval '1 ms'");
    session.execute("UPDATE outbox_workers SET seen_at = now() - interval '10001 ms'");
}

// As after a delivery of everything up to that number, in the lanes that `where` selects.
inline void move_cursors(Session& session, std::int64_t seq, const std::string& where = "true")
{
    session.execute(
        "INSERT INTO lane_progress (subscription_id, lane, acked_seq) SELECT subscription_id, lane, " +
        std::to_string(seq) + " FROM lane_leases WHERE " + where + " ON CONFLICT DO NOTHING");
}

inline const app::LeasedLane& lane_in(const app::LaneLease& lease, std::int16_t lane)
{
    const auto at = std::find_if(lease.acquired.begin(), lease.acquired.end(),
                                 [lane](const auto& leased) { return leased.lane == lane; });
    if (at == lease.acquired.end()) throw std::runtime_error("that lane was not acquired");
    return *at;
}

inline Seqs seqs_of(const std::vector<domain::OutboxMessage>& messages)
{
    Seqs seqs;
    for (const auto& message : messages) seqs.push_back(message.seq);
    return seqs;
}

// Everything a settlement can write.
inline Rows settled_state(Session& session)
{
    auto rows = session.rows("SELECT lane, acked_seq FROM lane_cursors WHERE acked_seq > 0 ORDER BY 1");
    for (auto& row : session.rows("SELECT 'progress', lane, acked_seq FROM lane_progress ORDER BY 2, 3"))
        rows.push_back(row);
    for (auto& row : session.rows("SELECT 'shelf', lane, seq, key_hash, attempts, next_at, last_error, "
                                  "delivered_at IS NULL FROM outbox_retries ORDER BY 2, 3"))
        rows.push_back(row);
    for (auto& row :
         session.rows("SELECT 'dead', lane, seq, attempts, last_error FROM dead_letters ORDER BY 2, 3"))
        rows.push_back(row);
    for (auto& row : session.rows("SELECT 'disabled', name FROM subscriptions WHERE disabled"))
        rows.push_back(row);
    return rows;
}

}  // namespace pg_support
