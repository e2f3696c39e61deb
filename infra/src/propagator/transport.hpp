#pragma once

#include "app/ports/event_transport.hpp"
#include "propagator/event_loop.hpp"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

namespace infra::propagator {

// A transport that lives on the event loop.
class LoopTransport : public app::EventTransport {
public:
    // When run_timers() wants to be called at the latest.
    virtual Moment next_timer() const = 0;
    // To be called after every wait of the loop: ends what has ended and what took too long.
    virtual void run_timers() = 0;
};

// Every stream with the transport of its target.
class Transports final : public LoopTransport {
public:
    // One entry a stream; several streams may share a transport.
    explicit Transports(std::vector<std::shared_ptr<LoopTransport>> by_stream)
        : by_stream_(std::move(by_stream))
    {
    }

    void send(const app::Attempt& attempt, Done done) override
    {
        by_stream_[attempt.stream]->send(attempt, std::move(done));
    }
    void abandon() override
    {
        for (const auto& transport : by_stream_) transport->abandon();
    }
    Moment next_timer() const override
    {
        Moment next = Moment::max();
        for (const auto& transport : by_stream_) next = std::min(next, transport->next_timer());
        return next;
    }
    void run_timers() override
    {
        for (const auto& transport : by_stream_) transport->run_timers();
    }

private:
    std::vector<std::shared_ptr<LoopTransport>> by_stream_;
};

}  // namespace infra::propagator
