#include "domain/lane.hpp"

#include <algorithm>
#include <utility>

namespace domain {

Lane::Lane(std::int16_t lane, std::int64_t acked_seq, std::vector<ShelfEntry> shelf,
           std::set<std::int64_t> finished, RetryPolicy policy, LaneLimits limits, Draw draw)
    : lane_(lane),
      acked_seq_(acked_seq),
      read_after_(acked_seq),
      written_seq_(acked_seq),
      policy_(policy),
      limits_(limits),
      draw_(std::move(draw)),
      finished_(std::move(finished))
{
    for (auto& entry : shelf) adopt(std::move(entry));
}

std::size_t Lane::room() const
{
    if (shelf_.size() >= limits_.shelf_rows_max || window_.size() >= limits_.window_rows_max) return 0;
    return limits_.window_rows_max - window_.size();
}

void Lane::offer(std::vector<OutboxMessage> messages, const Wants& wants)
{
    for (auto& message : messages) {
        const auto seq = message.seq;
        read_after_ = seq;
        if (finished_.erase(seq) > 0 || shelf_.contains(seq)) continue;
        if (wants && !wants(message)) continue;
        if (message.due_at) {
            // There may be very many: they come back as requests do, once they are due.
            pending_.shelved.push_back(
                {.seq = seq, .key_hash = message.key_hash, .next_at = *message.due_at, .adopted = false});
            continue;
        }
        auto& key = keys_[message.key_hash];
        if (!key.shelved.empty()) {
            shelve({seq, message.key_hash, 0, TimePoint{}, {}});
            continue;
        }
        if (key.busy) {
            key.queued.push_back(seq);
        } else {
            key.busy = true;
            ready_.push_back(seq);
        }
        window_.emplace_hint(window_.end(), seq, std::move(message));
    }
    if (window_.empty()) acked_seq_ = read_after_;
}

const OutboxMessage* Lane::take()
{
    if (ready_.empty()) return nullptr;
    const auto seq = ready_.front();
    ready_.pop_front();
    in_flight_.insert(seq);
    return &window_.at(seq);
}

std::vector<std::int64_t> Lane::take_due(TimePoint now, std::size_t rows_max)
{
    std::vector<std::int64_t> due;
    for (const auto& [seq, entry] : shelf_) {
        if (due.size() >= rows_max) break;
        auto& key = keys_.at(entry.key_hash);
        if (key.busy || key.shelved.front() != seq || entry.next_at > now) continue;
        key.busy = true;
        in_flight_.insert(seq);
        due.push_back(seq);
    }
    return due;
}

std::optional<TimePoint> Lane::next_due() const
{
    std::optional<TimePoint> earliest;
    for (const auto& [seq, entry] : shelf_) {
        const auto& key = keys_.at(entry.key_hash);
        if (key.busy || key.shelved.front() != seq) continue;
        if (!earliest || entry.next_at < *earliest) earliest = entry.next_at;
    }
    return earliest;
}

void Lane::settle(std::int64_t seq, const DeliveryOutcome& outcome, TimePoint now)
{
    if (in_flight_.erase(seq) == 0) return;
    const auto shelved = shelf_.find(seq);
    const bool was_shelved = shelved != shelf_.end();
    const std::int64_t key_hash = was_shelved ? shelved->second.key_hash : window_.at(seq).key_hash;
    keys_.at(key_hash).busy = false;
    if (outcome.verdict == Verdict::abandoned)
        return;  // the lane is being given up; nothing is known, nothing charged
    if (outcome.verdict == Verdict::delivered) {
        if (was_shelved) {
            pending_.delivered.push_back(seq);
            drop_from_shelf(seq, key_hash);
        } else if (seq != window_.begin()->first) {
            ahead_.emplace(seq, key_hash);
        }
    } else {
        fail(was_shelved ? shelved->second : ShelfEntry{seq, key_hash, 0, {}, {}}, outcome, now, was_shelved);
    }
    if (!was_shelved) finish_row(seq);
    release(key_hash);
}

void Lane::fail(ShelfEntry entry, const DeliveryOutcome& outcome, TimePoint now, bool was_shelved)
{
    if (outcome.charged) {
        ++entry.attempts;
        entry.tried = Attempt{now, outcome.status, outcome.error, outcome.excerpt};
    }
    entry.last_error = outcome.error;
    if (outcome.verdict == Verdict::gone) pending_.destination_gone = true;
    if (entry.parked || outcome.verdict != Verdict::retry || entry.attempts >= policy_.attempts_max) {
        entry.blame = entry.parked ? Blame::parked : outcome.blame;
        if (was_shelved) drop_from_shelf(entry.seq, entry.key_hash);
        pending_.dead.push_back(std::move(entry));
        return;
    }
    entry.next_at = now + retry_wait(policy_, std::max(entry.attempts, 1U), draw_(), outcome.retry_after);
    if (was_shelved) {
        pending_.shelved.push_back(entry);
        entry.tried.reset();
        shelf_.at(entry.seq) = std::move(entry);
    } else {
        shelve(std::move(entry));
    }
}

void Lane::shelve(ShelfEntry entry)
{
    keys_[entry.key_hash].shelved.push_back(entry.seq);
    pending_.shelved.push_back(entry);
    entry.tried.reset();
    shelf_.emplace(entry.seq, std::move(entry));
}

void Lane::adopt(ShelfEntry entry)
{
    const auto seq = entry.seq;
    const bool parked = entry.parked;
    if (!shelf_.contains(seq)) {
        auto& shelved = keys_[entry.key_hash].shelved;
        shelved.insert(std::upper_bound(shelved.begin(), shelved.end(), seq), seq);
        shelf_.emplace(seq, std::move(entry));
    }
    if (parked) park(seq);
}

void Lane::park(std::int64_t seq)
{
    auto& on_shelf = shelf_.at(seq);
    on_shelf.parked = true;
    if (in_flight_.contains(seq)) return;  // the outcome decides, and it may still be a delivery
    auto entry = on_shelf;
    entry.blame = Blame::parked;
    if (entry.last_error.empty()) entry.last_error = "parked by an operator";
    const auto key_hash = entry.key_hash;
    drop_from_shelf(seq, key_hash);
    pending_.dead.push_back(std::move(entry));
    if (!keys_.at(key_hash).busy) release(key_hash);
}

void Lane::drop_from_shelf(std::int64_t seq, std::int64_t key_hash)
{
    shelf_.erase(seq);
    if (seq > read_after_) finished_.insert(seq);  // stored before this lease: its row is still to be read
    auto& shelved = keys_.at(key_hash).shelved;
    shelved.erase(std::find(shelved.begin(), shelved.end(), seq));
}

// What waited behind a message of its key goes on, or follows it to the shelf.
void Lane::release(std::int64_t key_hash)
{
    const auto at = keys_.find(key_hash);
    auto& key = at->second;
    if (!key.shelved.empty()) {
        for (const auto seq : std::exchange(key.queued, {})) {
            shelve({seq, key_hash, 0, TimePoint{}, {}});
            finish_row(seq);
        }
    } else if (!key.queued.empty()) {
        key.busy = true;
        ready_.push_back(key.queued.front());
        key.queued.pop_front();
    } else {
        keys_.erase(at);
    }
}

// The row is delivered, on the shelf or dead: the cursor may pass it once all before it are, too.
void Lane::finish_row(std::int64_t seq)
{
    window_.erase(seq);
    highest_finished_ = std::max(highest_finished_, seq);
    acked_seq_ = window_.empty() ? read_after_ : window_.begin()->first - 1;
}

void Lane::secure_overtaking(TimePoint now)
{
    shelve_standing_head(now);
    write_ahead(now);
}

void Lane::shelve_standing_head(TimePoint now)
{
    if (!overtaken()) {
        overtaken_since_.reset();
        return;
    }
    const auto head = window_.begin()->first;
    if (!overtaken_since_ || overtaken_head_ != head) {
        overtaken_since_ = now;
        overtaken_head_ = head;
    }
    if (now - *overtaken_since_ >= limits_.overtaken_max) shelve_all_overtaken();
}

void Lane::shelve_all_overtaken()
{
    while (overtaken()) shelve_key_of(window_.begin()->first, window_.begin()->second.key_hash);
    overtaken_since_.reset();
}

void Lane::write_ahead(TimePoint now)
{
    ahead_.erase(ahead_.begin(), ahead_.upper_bound(acked_seq_));
    if (ahead_.empty()) {
        ahead_since_.reset();
        return;
    }
    // Once the cursor has reached all that waited, the clock is that of what came since.
    if (!ahead_since_ || ahead_.begin()->first > ahead_mark_) {
        ahead_since_ = now;
        ahead_mark_ = ahead_.rbegin()->first;
    }
    if (now - *ahead_since_ < limits_.overtaken_max) return;
    for (const auto& [seq, key_hash] : ahead_) pending_.ahead.push_back({seq, key_hash});
    ahead_.clear();
    ahead_since_.reset();
}

// All rows of the key leave the window together: its order on the shelf is its order in the log.
void Lane::shelve_key_of(std::int64_t seq, std::int64_t key_hash)
{
    auto& key = keys_.at(key_hash);
    const auto waiting = std::find(ready_.begin(), ready_.end(), seq);
    if (waiting != ready_.end()) {
        ready_.erase(waiting);
        key.busy = false;
    }
    auto rows = std::exchange(key.queued, {});
    rows.push_front(seq);
    for (const auto row : rows) {
        shelve({row, key_hash, 0, TimePoint{}, {}});
        window_.erase(row);
    }
    acked_seq_ = window_.empty() ? read_after_ : window_.begin()->first - 1;
}

Settlement Lane::take_settlement()
{
    Settlement settlement = std::exchange(pending_, {});
    settlement.acked_seq = acked_seq_;
    settlement.cursor_moved = acked_seq_ > written_seq_;
    written_seq_ = acked_seq_;
    return settlement;
}

}  // namespace domain
