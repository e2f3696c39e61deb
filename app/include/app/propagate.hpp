#pragma once

#include "app/ports/event_transport.hpp"
#include "app/ports/propagation_observer.hpp"
#include "domain/ids.hpp"
#include "domain/propagation/payload_template.hpp"
#include "domain/propagation/tick_schedule.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <vector>

namespace app {

// What a tick does that finds in_flight_max events under way.
enum class Overflow {
    drop,  // nothing is sent for it, and it is counted
    wait   // it is sent late, as soon as there is room: for load runs, which charge it that wait
};

struct StreamPlan {
    domain::propagation::TickSchedule schedule;
    domain::propagation::PayloadSource payloads;
    domain::propagation::SendPolicy policy = {};
    std::size_t in_flight_max = 0;  // events that are being sent or wait for another try
    Overflow overflow = Overflow::drop;
};

struct PropagationClocks {
    std::function<domain::propagation::Moment()> monotonic;
    std::function<domain::TimePoint()> wall;
};

// Sends the events of several streams on their ticks and waits for none of them. Whoever drives it calls
// step(), performs the transport's I/O until the moment that step() returned, and calls step() again. One
// thread, no locks.
class Propagate {
public:
    using Moment = domain::propagation::Moment;

    Propagate(EventTransport& transport, PropagationObserver& observer, PropagationClocks clocks,
              domain::propagation::RandomBits bits, std::vector<StreamPlan> streams);

    // Does what is due and returns when something will be due, or Moment::max().
    Moment step();

    // No tick happens any more; what is in flight goes on, its later tries too.
    void stop() { stopping_ = true; }
    // Also gives up what is in flight.
    void abandon();

    bool stopping() const { return stopping_; }
    std::size_t in_flight() const { return in_flight_; }
    // Every tick has happened (or none will), and every event has come to its end.
    bool finished() const;

private:
    struct Flight {
        Attempt attempt;
        std::uint64_t tick = 0;
        Moment ideal;
        Moment started;
        std::uint32_t tries = 0;
    };
    struct Stream {
        StreamPlan plan;
        std::size_t in_flight = 0;
    };

    void retry_due(Moment now);
    void run_ticks(std::size_t index, Moment now);
    void launch(std::size_t index, const domain::propagation::Tick& tick, Moment now);
    void try_once(std::size_t slot);
    void settle(std::size_t slot, const domain::propagation::TryResult& result);
    void finish(std::size_t slot, const domain::propagation::TryResult& result);
    bool waits_for_room(const Stream& stream) const;
    std::size_t free_slot();

    EventTransport& transport_;
    PropagationObserver& observer_;
    PropagationClocks clocks_;
    domain::propagation::RandomBits bits_;
    std::vector<Stream> streams_;
    std::vector<Flight> flights_;  // grows to the sum of in_flight_max
    std::vector<std::size_t> free_slots_;
    std::multimap<Moment, std::size_t> retries_;
    std::size_t in_flight_ = 0;
    bool stopping_ = false;
    bool abandoning_ = false;
};

}  // namespace app
