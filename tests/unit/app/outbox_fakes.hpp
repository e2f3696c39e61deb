#pragma once

#include "app/deliver_outbox.hpp"
#include "app/ports/message_sink.hpp"
#include "app/ports/outbox_store.hpp"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// An outbox in memory and a destination that does what a test says. Both may be used from two threads.
namespace outbox_fakes {

struct StoredLane {
    std::vector<domain::OutboxMessage> log;
    std::int64_t acked = 0;
    std::int64_t epoch = 0;
    bool ours = false;
    bool elsewhere = false;  // another worker has it
    std::map<std::int64_t, domain::ShelfEntry> shelf;
    std::set<std::int64_t> finished;
    std::map<std::int64_t, domain::ShelfEntry> dead;
};

class InMemoryOutbox final : public app::OutboxStore {
public:
    // Called at the start of every call, with its name; may throw.
    std::function<void(const std::string& call)> before_call = [](const std::string&) {};

    // Lanes that are to be reported once, in the next lease, as beyond the fair share, or as kept.
    std::vector<std::int16_t> surplus;
    std::vector<std::int16_t> kept_in_error;

    void append(std::int16_t lane, std::int64_t seq, std::int64_t key)
    {
        const std::lock_guard lock(mutex_);
        lanes_[lane].log.push_back({lane, seq, key, {}, "event.x", "{}"});
    }

    void put_on_shelf(std::int16_t lane, domain::ShelfEntry entry)
    {
        const std::lock_guard lock(mutex_);
        lanes_[lane].shelf[entry.seq] = std::move(entry);
    }

    // Another worker takes the lane, as after a lease that ran out.
    void steal(std::int16_t lane)
    {
        const std::lock_guard lock(mutex_);
        auto& stolen = lanes_.at(lane);
        stolen.ours = false;
        stolen.elsewhere = true;
        ++stolen.epoch;
    }

    void disable()
    {
        const std::lock_guard lock(mutex_);
        disabled_ = true;
    }

    StoredLane lane(std::int16_t number) const
    {
        const std::lock_guard lock(mutex_);
        return lanes_.at(number);
    }
    bool disabled() const
    {
        const std::lock_guard lock(mutex_);
        return disabled_;
    }
    std::vector<std::int16_t> released() const
    {
        const std::lock_guard lock(mutex_);
        return released_;
    }
    int times_left() const
    {
        const std::lock_guard lock(mutex_);
        return times_left_;
    }
    std::uint32_t attempts_charged() const
    {
        const std::lock_guard lock(mutex_);
        return attempts_charged_;
    }

    std::vector<app::ShelfRequest> requests(const std::vector<std::int16_t>&, std::int64_t) override
    {
        return {};
    }

    void show_circuit(bool) override {}

    app::LaneLease renew() override
    {
        before_call("renew");
        const std::lock_guard lock(mutex_);
        app::LaneLease lease;
        lease.disabled = disabled_;
        lease.kept = std::exchange(kept_in_error, {});
        for (auto& [number, lane] : lanes_) {
            if (lane.ours) {
                lease.kept.push_back(number);
            } else if (!lane.elsewhere && !disabled_) {
                lane.ours = true;
                lease.acquired.push_back({number, ++lane.epoch, lane.acked, waiting(lane), lane.finished});
            }
        }
        for (const auto& [number, lane] : lanes_) lease.elsewhere += lane.elsewhere ? 1 : 0;
        if (lease.acquired.empty()) lease.surplus = std::exchange(surplus, {});
        return lease;
    }

    void release(const std::vector<std::int16_t>& lanes) override
    {
        before_call("release");
        const std::lock_guard lock(mutex_);
        for (const auto number : lanes) {
            released_.push_back(number);
            if (lanes_.contains(number)) lanes_.at(number).ours = false;
        }
    }

    void leave() override
    {
        before_call("leave");
        const std::lock_guard lock(mutex_);
        ++times_left_;
        for (auto& [number, lane] : lanes_) lane.ours = false;
    }

    std::vector<domain::OutboxMessage> read(const std::vector<app::LaneRead>& lanes) override
    {
        before_call("read");
        const std::lock_guard lock(mutex_);
        std::vector<domain::OutboxMessage> rows;
        for (const auto& read : lanes) {
            std::int64_t left = read.rows_max;
            for (const auto& message : lanes_.at(read.lane).log) {
                if (message.seq > read.after && left-- > 0) rows.push_back(message);
            }
        }
        return rows;
    }

    std::vector<domain::OutboxMessage> fetch(std::int16_t lane,
                                             const std::vector<std::int64_t>& seqs) override
    {
        before_call("fetch");
        const std::lock_guard lock(mutex_);
        std::vector<domain::OutboxMessage> rows;
        for (const auto seq : seqs) {
            for (const auto& message : lanes_.at(lane).log) {
                if (message.seq == seq) rows.push_back(message);
            }
        }
        return rows;
    }

    std::vector<std::int16_t> settle(const std::vector<app::LaneSettlement>& settlements) override
    {
        before_call("settle");
        const std::lock_guard lock(mutex_);
        std::vector<std::int16_t> lost;
        for (const auto& entry : settlements) {
            auto& lane = lanes_.at(entry.lane);
            if (lane.ours && lane.epoch == entry.epoch) {
                write(lane, entry.settlement);
            } else {
                lost.push_back(entry.lane);
            }
        }
        return lost;
    }

private:
    static std::vector<domain::ShelfEntry> waiting(const StoredLane& lane)
    {
        std::vector<domain::ShelfEntry> entries;
        for (const auto& [seq, entry] : lane.shelf) entries.push_back(entry);
        return entries;
    }

    void write(StoredLane& lane, const domain::Settlement& settlement)
    {
        lane.acked = settlement.acked_seq;
        for (const auto& entry : settlement.shelved) {
            attempts_charged_ += entry.attempts > 0 ? 1 : 0;
            lane.shelf[entry.seq] = entry;
        }
        for (const auto seq : settlement.delivered) {
            lane.shelf.erase(seq);
            lane.finished.insert(seq);
        }
        for (const auto& entry : settlement.dead) {
            lane.shelf.erase(entry.seq);
            lane.finished.insert(entry.seq);
            lane.dead.emplace(entry.seq, entry);
        }
        disabled_ = disabled_ || settlement.destination_gone;
    }

    mutable std::mutex mutex_;
    std::map<std::int16_t, StoredLane> lanes_;
    std::vector<std::int16_t> released_;
    int times_left_ = 0;
    std::uint32_t attempts_charged_ = 0;
    bool disabled_ = false;
};

class ScriptedSink final : public app::MessageSink {
public:
    // What becomes of a message; nothing = it stays in flight until complete() or stop().
    using Script = std::function<std::optional<domain::DeliveryOutcome>(const domain::OutboxMessage&)>;

    explicit ScriptedSink(Script script) : script_(std::move(script)) {}

    void send(const domain::OutboxMessage& message, Done done) override
    {
        {
            const std::lock_guard lock(mutex_);
            sent_.push_back(message.seq);
        }
        if (auto outcome = script_(message)) return done(std::move(*outcome));
        const std::lock_guard lock(mutex_);
        held_.emplace_back(message.seq, std::move(done));
        held_max_ = std::max(held_max_, held_.size());
    }

    void stop() override { complete({domain::Verdict::abandoned, "stopped"}); }

    // Ends everything that is in flight.
    void complete(const domain::DeliveryOutcome& outcome)
    {
        std::vector<std::pair<std::int64_t, Done>> held;
        {
            const std::lock_guard lock(mutex_);
            held.swap(held_);
        }
        for (const auto& [seq, done] : held) done(outcome);
    }

    std::vector<std::int64_t> sent() const
    {
        const std::lock_guard lock(mutex_);
        return sent_;
    }
    std::size_t held() const
    {
        const std::lock_guard lock(mutex_);
        return held_.size();
    }
    std::size_t held_max() const
    {
        const std::lock_guard lock(mutex_);
        return held_max_;
    }

private:
    const Script script_;
    mutable std::mutex mutex_;
    std::vector<std::int64_t> sent_;
    std::vector<std::pair<std::int64_t, Done>> held_;
    std::size_t held_max_ = 0;
};

// A delivery with what it tells.
struct Worker {
    Worker(InMemoryOutbox& store, ScriptedSink& sink, const app::DeliveryOptions& options)
        : delivery(
              store, sink, options, [] { return 0.5; },
              [this](domain::Verdict verdict) { ++outcomes[verdict]; },
              [this](std::string_view reason) { faults.emplace_back(reason); })
    {
    }

    std::map<domain::Verdict, int> outcomes;
    std::vector<std::string> faults;
    app::DeliverOutbox delivery;
};

}  // namespace outbox_fakes
