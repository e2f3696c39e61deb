#pragma once

#include "app/ports/message_sink.hpp"
#include "app/ports/outbox_store.hpp"
#include "domain/circuit_breaker.hpp"
#include "domain/lane.hpp"
#include "domain/token_bucket.hpp"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <string_view>
#include <vector>

namespace app {

struct DeliveryOptions {
    domain::RetryPolicy retry;
    domain::LaneLimits limits;
    std::size_t in_flight_max = 64;
    std::chrono::milliseconds poll_interval{1000};
    std::chrono::milliseconds drain_timeout{10'000};
    bool until_empty = false;  // leave once nothing is due
    // With until_empty: how long lanes of other workers are waited for. Longer than a lease, so that what a
    // dead worker had is drained, too.
    std::chrono::milliseconds lanes_timeout{15'000};
    domain::Lane::Wants wants = {};
    std::optional<double> rate_per_second = {};  // of all workers together
    domain::BreakerLimits breaker = {};
};

// The worker's loop for one subscription: leases lanes, reads ahead, hands messages to the sink, writes what
// became of them. One thread runs it; wake() and stop() may be called from any.
class DeliverOutbox {
public:
    using Random = std::function<double()>;                         // [0, 1)
    using Observer = std::function<void(domain::Verdict verdict)>;  // each outcome, on the running thread
    using Fault = std::function<void(std::string_view reason)>;  // the store failed; tried again with a pause

    using Circuit = std::function<void(bool closed)>;  // the breaker opened or closed

    DeliverOutbox(OutboxStore& store, MessageSink& sink, DeliveryOptions options, Random random,
                  Observer observer, Fault fault, Circuit circuit = {});

    // Returns after stop(), or when nothing is due with until_empty. What is in flight is waited for, then
    // the lanes are handed back; tries that did not end in time are charged to nobody.
    void run();
    void wake();
    void stop();
    bool healthy() const { return healthy_; }
    // After run() with until_empty: false = another worker kept lanes, and they were not drained.
    bool complete() const { return complete_; }

private:
    using Clock = std::chrono::steady_clock;

    struct Owned {
        domain::Lane lane;
        std::int64_t epoch;
        bool surplus = false;
        bool exhausted = false;  // the last read found no more rows
    };
    struct Completion {
        std::int16_t lane;
        std::int64_t epoch;
        std::int64_t seq;
        domain::DeliveryOutcome outcome;
        bool probe;
    };

    bool cycle();
    void renew_leases();
    void give_back_unknown(const std::vector<std::int16_t>& kept);
    void give_back();
    bool settle_completions();
    void judge(Completion& done);
    void adopt_requests();
    std::size_t sendable();
    void settle_missing(Owned& owned, std::vector<std::int64_t> due,
                        const std::vector<domain::OutboxMessage>& found);
    void write_settlements();
    void send_due();
    bool readable(const Owned& owned) const;
    bool read_ahead();
    void pump();
    void send(Owned& owned, const domain::OutboxMessage& message);
    void finish();
    bool nothing_due() const;
    bool held() const { return Clock::now() < hold_until_; }
    Clock::time_point next_moment();
    // `finishing`: only completions end the pause before its time.
    void pause_until(Clock::time_point moment, bool finishing = false);

    OutboxStore& store_;
    MessageSink& sink_;
    const DeliveryOptions options_;
    const Random random_;
    const Observer observer_;
    const Fault fault_;
    const Circuit circuit_;
    domain::CircuitBreaker breaker_;
    std::optional<domain::TokenBucket> bucket_;

    std::map<std::int16_t, Owned> owned_;
    std::size_t outstanding_ = 0;
    bool disabled_ = false;
    bool found_nothing_ = false;
    std::size_t lanes_elsewhere_ = 0;  // only with until_empty
    Clock::time_point lanes_deadline_{};
    Clock::time_point hold_until_{};  // the destination asked for time
    std::atomic<bool> complete_ = true;
    Clock::time_point renew_at_{};
    Clock::time_point read_at_{};
    Clock::time_point requests_at_{};
    Clock::time_point progress_at_{};  // when cursors that only moved are written,
    Clock::time_point pass_at_{};      // and those that moved over nothing that was sent
    bool finishing_ = false;
    Clock::time_point active_at_{};

    std::mutex mutex_;
    std::condition_variable wake_;
    std::vector<Completion> completions_;
    bool woken_ = false;
    std::atomic<bool> stopping_ = false;
    std::atomic<bool> healthy_ = false;
};

}  // namespace app
