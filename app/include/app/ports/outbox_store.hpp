#pragma once

#include "domain/lane.hpp"

#include <cstdint>
#include <set>
#include <vector>

namespace app {

struct LeasedLane {
    std::int16_t lane = 0;
    std::int64_t epoch = 0;  // fencing token of this lease
    std::int64_t acked_seq = 0;
    std::vector<domain::ShelfEntry> shelf = {};  // waiting
    std::set<std::int64_t> finished = {};        // beyond the cursor and yet at an end
};

struct LaneLease {
    std::vector<std::int16_t> kept;  // lanes that are still ours
    std::vector<LeasedLane> acquired;
    std::vector<std::int16_t>
        surplus;                // beyond a fair share: to be given back once nothing of them is in flight
    bool disabled = false;      // the subscription is switched off
    std::size_t elsewhere = 0;  // lanes that others have, where this worker wants them all
};

struct LaneRead {
    std::int16_t lane;
    std::int64_t after;
    std::int64_t rows_max;
};

// What an operator asked for: an entry to be replayed, or to be parked.
struct ShelfRequest {
    std::int16_t lane;
    domain::ShelfEntry entry;
};

struct LaneSettlement {
    std::int16_t lane;
    std::int64_t epoch;
    domain::Settlement settlement;
};

// The outbox as one worker sees it for one subscription. Used from one thread. Every method throws when the
// database does not answer; then nothing is known to be written, and the same call may be repeated.
class OutboxStore {
public:
    virtual ~OutboxStore() = default;

    // Shows that this worker lives, renews its lanes and takes free ones up to a fair share.
    virtual LaneLease renew() = 0;
    // Whether the breaker holds messages back; operators hear of it with the next renewal.
    virtual void show_circuit(bool open) = 0;
    virtual void release(const std::vector<std::int16_t>& lanes) = 0;
    // Gives everything back and is no longer counted among the living.
    virtual void leave() = 0;
    virtual std::vector<domain::OutboxMessage> read(const std::vector<LaneRead>& lanes) = 0;
    virtual std::vector<domain::OutboxMessage> fetch(std::int16_t lane,
                                                     const std::vector<std::int64_t>& seqs) = 0;
    // What operators asked for in these lanes since the last call, in order, at most `rows_max`.
    virtual std::vector<ShelfRequest> requests(const std::vector<std::int16_t>& lanes,
                                               std::int64_t rows_max) = 0;
    // Returns the lanes whose lease was lost: nothing of them was written.
    virtual std::vector<std::int16_t> settle(const std::vector<LaneSettlement>& settlements) = 0;
};

}  // namespace app
