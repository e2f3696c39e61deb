#pragma once

#include "domain/outbox.hpp"
#include "domain/retry_policy.hpp"

#include <cstdint>
#include <deque>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

namespace domain {

// One try that failed, for whoever asks why a message is late or dead.
struct Attempt {
    TimePoint at{};
    unsigned status = 0;
    std::string error = {};
    std::string excerpt = {};
};

// A message that failed, that waits behind a failed one of its key, or that later ones overtook (both:
// attempts 0).
struct ShelfEntry {
    std::int64_t seq = 0;
    std::int64_t key_hash = 0;
    std::uint32_t attempts = 0;
    TimePoint next_at{};
    std::string last_error = {};
    bool parked = false;  // an operator wants it out of the way: a dead letter as soon as it can be
    bool adopted = true;  // false: it waits for its time in the database, not here
    std::optional<Attempt> tried = {};  // only in a settlement: the try that is to be recorded
    Blame blame = Blame::destination;   // only of dead ones
};

// A message that was delivered while earlier ones of its lane are not at an end.
struct DeliveredAhead {
    std::int64_t seq = 0;
    std::int64_t key_hash = 0;
};

// What a lane wants written in one statement: the cursor and everything that did not simply succeed.
struct Settlement {
    std::int64_t acked_seq = 0;
    bool cursor_moved = false;
    std::vector<ShelfEntry> shelved;      // new or changed entries of the shelf
    std::vector<std::int64_t> delivered;  // entries of the shelf that succeeded
    std::vector<ShelfEntry> dead;         // become dead letters
    std::vector<DeliveredAhead> ahead;    // at an end beyond the cursor, and not on the shelf
    bool destination_gone = false;        // 410: disable the subscription

    bool empty() const { return !cursor_moved && !exceptional(); }
    bool exceptional() const
    {
        return !shelved.empty() || !delivered.empty() || !dead.empty() || !ahead.empty() || destination_gone;
    }
};

struct LaneLimits {
    std::size_t window_rows_max = 500;  // read ahead of the cursor
    std::size_t shelf_rows_max = 1000;  // waiting entries; above it the lane reads no further
    // How long the cursor may stand still although later rows are delivered. A crash repeats those, so slow
    // heads go to the shelf; a healthy destination is much faster than this and never pays for it. And how
    // long the cursor may move towards a row that is delivered: one that it has not reached then is written
    // by itself, at the latest after twice this time.
    std::chrono::milliseconds overtaken_max{250};
};

// Delivery of one lane of one subscription, as decisions without I/O: which message may go out now, what its
// outcome means, and how far the cursor may move. Order per key holds through retries: while a message of a
// key is in flight or on the shelf, later ones of that key wait, and no others. Owned by one thread.
class Lane {
public:
    using Draw = std::function<double()>;                     // random number in [0, 1)
    using Wants = std::function<bool(const OutboxMessage&)>;  // what the subscription is for; empty = all

    // `finished` are rows beyond the cursor that reached their end by way of the shelf: they are not sent
    // again.
    Lane(std::int16_t lane, std::int64_t acked_seq, std::vector<ShelfEntry> shelf,
         std::set<std::int64_t> finished, RetryPolicy policy, LaneLimits limits, Draw draw);

    std::int16_t lane() const { return lane_; }
    std::int64_t acked_seq() const { return acked_seq_; }
    std::int64_t read_after() const { return read_after_; }
    // How many rows may be read now; 0 = none.
    std::size_t room() const;

    // Rows that follow read_after(), in order. What is not wanted is passed over.
    void offer(std::vector<OutboxMessage> messages, const Wants& wants = {});

    // What an operator put on the shelf, or wants parked, while the lane was running.
    void adopt(ShelfEntry entry);

    // The next message of the log that may be sent now. The pointer is good until the next call of another
    // member.
    const OutboxMessage* take();
    bool has_ready() const { return !ready_.empty(); }

    // Entries of the shelf that are due: the head of each key. Their messages are read again and sent one by
    // one.
    std::vector<std::int64_t> take_due(TimePoint now,
                                       std::size_t rows_max = std::numeric_limits<std::size_t>::max());
    std::optional<TimePoint> next_due() const;

    void settle(std::int64_t seq, const DeliveryOutcome& outcome, TimePoint now);

    std::size_t in_flight() const { return in_flight_.size(); }
    std::size_t waiting() const { return shelf_.size(); }

    // Keeps what is delivered beyond the cursor from being repeated after a crash. A head that has stood for
    // longer than the limit goes to the shelf, in flight or not, and the cursor moves on; behind heads that
    // end one after the other, as those of a key with many messages do, the delivered rows are written.
    void secure_overtaking(TimePoint now);
    // All heads at once: before the lane is given back.
    void shelve_all_overtaken();

    // Whether there is something to write, and whether more than a cursor that moved.
    bool unwritten() const { return acked_seq_ > written_seq_ || exceptional(); }
    // Whether the cursor moved over something that was sent, and not only over what nobody wanted.
    bool delivered_unwritten() const { return acked_seq_ > written_seq_ && highest_finished_ > written_seq_; }
    bool exceptional() const { return pending_.exceptional(); }
    // What is to be written since the last call. The cursor counts as moved once this is called.
    Settlement take_settlement();

private:
    struct Key {
        std::deque<std::int64_t> shelved;  // waiting entries of the shelf, in order
        std::deque<std::int64_t> queued;   // rows of the window behind one that is in flight
        bool busy = false;                 // one of them is in flight
    };

    void shelve(ShelfEntry entry);
    void park(std::int64_t seq);
    void release(std::int64_t key_hash);
    void shelve_key_of(std::int64_t seq, std::int64_t key_hash);
    void finish_row(std::int64_t seq);
    void shelve_standing_head(TimePoint now);
    void write_ahead(TimePoint now);
    bool overtaken() const { return !window_.empty() && highest_finished_ > window_.begin()->first; }
    void fail(ShelfEntry entry, const DeliveryOutcome& outcome, TimePoint now, bool was_shelved);
    void drop_from_shelf(std::int64_t seq, std::int64_t key_hash);

    std::int16_t lane_;
    std::int64_t acked_seq_;
    std::int64_t read_after_;
    std::int64_t written_seq_;
    std::int64_t highest_finished_ = 0;
    std::optional<TimePoint> overtaken_since_;
    std::int64_t overtaken_head_ = 0;
    std::map<std::int64_t, std::int64_t> ahead_;  // delivered beyond the cursor, not written: seq to key
    std::optional<TimePoint> ahead_since_;        // all up to ahead_mark_ have waited since then
    std::int64_t ahead_mark_ = 0;
    RetryPolicy policy_;
    LaneLimits limits_;
    Draw draw_;
    std::map<std::int64_t, OutboxMessage> window_;  // rows beyond the cursor that are not at an end
    std::deque<std::int64_t> ready_;
    std::set<std::int64_t> in_flight_;
    std::map<std::int64_t, ShelfEntry> shelf_;
    std::set<std::int64_t> finished_;
    std::unordered_map<std::int64_t, Key> keys_;  // only keys with something in flight, queued or shelved
    Settlement pending_;
};

}  // namespace domain
