#include "app/deliver_outbox.hpp"

#include "app/clocks.hpp"
#include "domain/ingest.hpp"

#include <algorithm>
#include <exception>
#include <string>
#include <utility>

namespace app {
namespace {

using namespace std::chrono_literals;

// A lease is 10 s (pg/outbox_store.cpp): four renewals fit in.
constexpr auto renew_interval = 2500ms;
// After activity the log is polled quickly for longer than the writer withholds notifications (10 ms), so a
// message that came without one is not left until the idle poll.
constexpr auto quick_poll_interval = 4ms;
constexpr auto quick_poll_period = 40ms;
constexpr auto fault_pause = 500ms;
// A cursor's move is written for as long as this together with others: the write costs the same for one
// message as for a thousand, and nothing is sent meanwhile. A crash repeats what was delivered since the last
// one. A move over messages that are not for this subscription repeats nothing and has more time.
constexpr auto progress_interval = 10ms;
constexpr auto pass_interval = 100ms;
// How soon a replay or a parked message is noticed.
constexpr auto requests_interval = 1000ms;
constexpr std::int64_t requests_max = 500;
// Replays join a lane only while its shelf is short, so that they never stop the reading of new messages.
constexpr std::size_t shelf_rows_for_requests = 500;

}  // namespace

DeliverOutbox::DeliverOutbox(OutboxStore& store, MessageSink& sink, DeliveryOptions options, Random random,
                             Observer observer, Fault fault, Circuit circuit)
    : store_(store),
      sink_(sink),
      options_(std::move(options)),
      random_(std::move(random)),
      observer_(std::move(observer)),
      fault_(std::move(fault)),
      circuit_(std::move(circuit)),
      breaker_(options_.breaker)
{
    if (options_.rate_per_second) bucket_.emplace(*options_.rate_per_second, steady_now());
}

void DeliverOutbox::run()
{
    lanes_deadline_ = Clock::now() + options_.lanes_timeout;
    while (!stopping_) {
        try {
            const bool busy = cycle();
            healthy_ = !stopping_;
            if (options_.until_empty && nothing_due()) break;
            if (!busy) pause_until(next_moment());
        } catch (const std::exception& error) {
            // What was decided and not written is decided anew from what is stored: at least once, never
            // lost.
            healthy_ = false;
            fault_(error.what());
            owned_.clear();
            found_nothing_ = false;
            renew_at_ = {};
            pause_until(Clock::now() + fault_pause);
        }
    }
    complete_ = !options_.until_empty || lanes_elsewhere_ == 0;
    if (!complete_ && !stopping_)
        fault_(std::to_string(lanes_elsewhere_) + " lanes belong to another worker: they were not drained");
    finish();
}

bool DeliverOutbox::cycle()
{
    bool busy = settle_completions();
    if (Clock::now() >= renew_at_) renew_leases();
    write_settlements();
    give_back();
    if (disabled_) return false;
    adopt_requests();
    send_due();
    busy = read_ahead() || busy;
    pump();
    return busy;
}

void DeliverOutbox::renew_leases()
{
    renew_at_ = Clock::now() + renew_interval;
    store_.show_circuit(!breaker_.closed());
    auto lease = store_.renew();
    disabled_ = lease.disabled;
    lanes_elsewhere_ = lease.elsewhere;
    std::vector<std::int16_t> lost;
    for (const auto& [lane, owned] : owned_) {
        if (std::find(lease.kept.begin(), lease.kept.end(), lane) == lease.kept.end()) lost.push_back(lane);
    }
    for (const auto lane : lost) owned_.erase(lane);
    give_back_unknown(lease.kept);
    for (auto& [lane, owned] : owned_) {
        owned.surplus = std::find(lease.surplus.begin(), lease.surplus.end(), lane) != lease.surplus.end();
    }
    for (auto& lane : lease.acquired) {
        owned_.insert_or_assign(
            lane.lane, Owned{domain::Lane(lane.lane, lane.acked_seq, std::move(lane.shelf),
                                          std::move(lane.finished), options_.retry, options_.limits, random_),
                             lane.epoch});
    }
    if (!lease.acquired.empty()) read_at_ = {};
    if (bucket_) {
        const double share = static_cast<double>(owned_.size()) / static_cast<double>(domain::lane_count);
        bucket_->set_rate(*options_.rate_per_second * share, steady_now());
    }
}

// Lanes that are ours in the database and were forgotten here after a fault: they come back with a new epoch
// and with what is stored about them.
void DeliverOutbox::give_back_unknown(const std::vector<std::int16_t>& kept)
{
    std::vector<std::int16_t> unknown;
    for (const auto lane : kept) {
        if (!owned_.contains(lane)) unknown.push_back(lane);
    }
    if (unknown.empty()) return;
    store_.release(unknown);
    renew_at_ = {};
}

void DeliverOutbox::give_back()
{
    std::vector<std::int16_t> ready;
    for (const auto& [lane, owned] : owned_) {
        if (owned.surplus && owned.lane.in_flight() == 0) ready.push_back(lane);
    }
    if (ready.empty()) return;
    store_.release(ready);
    for (const auto lane : ready) owned_.erase(lane);
}

bool DeliverOutbox::settle_completions()
{
    std::vector<Completion> completions;
    {
        const std::lock_guard lock(mutex_);
        completions.swap(completions_);
    }
    for (auto& done : completions) {
        --outstanding_;
        judge(done);
        observer_(done.outcome.verdict);
        const auto at = owned_.find(done.lane);
        if (at != owned_.end() && at->second.epoch == done.epoch)
            at->second.lane.settle(done.seq, done.outcome, system_now());
    }
    return !completions.empty();
}

void DeliverOutbox::adopt_requests()
{
    if (Clock::now() < requests_at_) return;
    requests_at_ = Clock::now() + requests_interval;
    std::vector<std::int16_t> lanes;
    for (const auto& [lane, owned] : owned_) {
        if (!owned.surplus && owned.lane.waiting() < shelf_rows_for_requests) lanes.push_back(lane);
    }
    if (lanes.empty()) return;
    auto requests = store_.requests(lanes, requests_max);
    if (std::cmp_equal(requests.size(), requests_max)) requests_at_ = {};  // many timers may be due at once
    for (auto& request : requests) owned_.at(request.lane).lane.adopt(std::move(request.entry));
}

void DeliverOutbox::write_settlements()
{
    std::vector<LaneSettlement> settlements;
    const auto now = system_now();
    const bool last = finishing_ || stopping_;
    const bool progress = last || Clock::now() >= progress_at_;
    const bool passes = last || Clock::now() >= pass_at_;
    for (auto& [lane, owned] : owned_) {
        if (stopping_ || owned.surplus) {
            owned.lane.shelve_all_overtaken();
        } else {
            owned.lane.secure_overtaking(now);
        }
        const bool due = owned.lane.delivered_unwritten() ? progress : passes;
        if (!due && !owned.surplus && !owned.lane.exceptional()) continue;
        auto settlement = owned.lane.take_settlement();
        if (!settlement.empty()) settlements.push_back({lane, owned.epoch, std::move(settlement)});
    }
    if (settlements.empty()) return;
    if (progress) progress_at_ = Clock::now() + progress_interval;
    if (passes) pass_at_ = Clock::now() + pass_interval;
    for (const auto lane : store_.settle(settlements)) owned_.erase(lane);
    for (const auto& written : settlements) disabled_ = disabled_ || written.settlement.destination_gone;
}

void DeliverOutbox::send_due()
{
    for (auto& [lane, owned] : owned_) {
        if (owned.surplus) continue;
        const auto room = sendable();
        if (room == 0) return;
        auto due = owned.lane.take_due(system_now(), room);
        if (due.empty()) continue;
        const auto messages = store_.fetch(lane, due);
        for (const auto& message : messages) send(owned, message);
        if (messages.size() < due.size()) settle_missing(owned, std::move(due), messages);
    }
}

// A message whose row is gone can only be told about.
void DeliverOutbox::settle_missing(Owned& owned, std::vector<std::int64_t> due,
                                   const std::vector<domain::OutboxMessage>& found)
{
    for (const auto& message : found) due.erase(std::find(due.begin(), due.end(), message.seq));
    for (const auto seq : due) {
        owned.lane.settle(seq,
                          {.verdict = domain::Verdict::rejected,
                           .error = "the message is no longer stored",
                           .blame = domain::Blame::ours},
                          system_now());
        observer_(domain::Verdict::rejected);
    }
    // There is no dead letter to tell of it where the row was the last copy.
    fault_(std::to_string(due.size()) + " messages of the shelf are no longer stored");
}

// In halves, so that a full window is not topped up row by row.
bool DeliverOutbox::readable(const Owned& owned) const
{
    return !owned.surplus &&
           owned.lane.room() >= std::max<std::size_t>(options_.limits.window_rows_max / 2, 1);
}

bool DeliverOutbox::read_ahead()
{
    // A lane that had no room when the others were read does not wait for their poll.
    bool due = Clock::now() >= read_at_;
    std::vector<LaneRead> reads;
    for (const auto& [lane, owned] : owned_) {
        if (!readable(owned)) continue;
        due = due || !owned.exhausted;
        reads.push_back({lane, owned.lane.read_after(), static_cast<std::int64_t>(owned.lane.room())});
    }
    if (!due || reads.empty()) return false;
    std::map<std::int16_t, std::vector<domain::OutboxMessage>> by_lane;
    for (auto& message : store_.read(reads)) by_lane[message.lane].push_back(std::move(message));
    for (const auto& read : reads) owned_.at(read.lane).exhausted = !by_lane.contains(read.lane);
    for (auto& [lane, messages] : by_lane) owned_.at(lane).lane.offer(std::move(messages), options_.wants);
    const auto now = Clock::now();
    found_nothing_ = by_lane.empty();
    if (!found_nothing_) active_at_ = now;
    const bool quick = now - active_at_ < quick_poll_period;
    read_at_ = !found_nothing_
                   ? Clock::time_point{}
                   : now + (quick ? std::chrono::milliseconds(quick_poll_interval) : options_.poll_interval);
    return !found_nothing_;
}

// A sink that is done at once is fed until nothing is ready, without a round to the database in between.
void DeliverOutbox::pump()
{
    bool more = true;
    while (more && !stopping_) {
        more = false;
        for (auto& [lane, owned] : owned_) {
            while (!owned.surplus && owned.lane.has_ready() && sendable() > 0) {
                const auto* message = owned.lane.take();
                if (message == nullptr) break;
                send(owned, *message);
                more = true;
            }
        }
        if (more) more = settle_completions();
    }
}

void DeliverOutbox::send(Owned& owned, const domain::OutboxMessage& message)
{
    ++outstanding_;
    const bool probe = !breaker_.closed();
    if (probe) breaker_.probe_sent();
    if (bucket_) bucket_->take();
    sink_.send(message, [this, lane = message.lane, epoch = owned.epoch, seq = message.seq,
                         probe](domain::DeliveryOutcome outcome) {
        const std::lock_guard lock(mutex_);
        completions_.push_back({lane, epoch, seq, std::move(outcome), probe});
        wake_.notify_one();
    });
}

void DeliverOutbox::pause_until(Clock::time_point moment, bool finishing)
{
    std::unique_lock lock(mutex_);
    wake_.wait_until(lock, moment,
                     [&] { return !completions_.empty() || (!finishing && (woken_ || stopping_)); });
    if (std::exchange(woken_, false)) {
        read_at_ = {};
        active_at_ = Clock::now();
    }
}

// In flight is waited for, and the sink then abandons what did not end in time.
void DeliverOutbox::finish()
{
    const auto deadline = Clock::now() + options_.drain_timeout;
    healthy_ = false;
    finishing_ = true;
    try {
        while (outstanding_ > 0 && Clock::now() < deadline) {
            pause_until(std::min(deadline, Clock::now() + 100ms), true);
            settle_completions();
            if (Clock::now() >= renew_at_) renew_leases();
            write_settlements();
        }
        sink_.stop();
        settle_completions();
        write_settlements();
        store_.leave();
    } catch (const std::exception& error) {
        fault_(error.what());
        sink_.stop();
    }
}

void DeliverOutbox::wake()
{
    const std::lock_guard lock(mutex_);
    woken_ = true;
    wake_.notify_one();
}

void DeliverOutbox::stop()
{
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    wake_.notify_one();
}

}  // namespace app
