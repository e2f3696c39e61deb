#pragma once

#include "infra/signals.hpp"
#include "propagator/event_loop.hpp"

namespace infra::propagator {

// The first SIGINT or SIGTERM, seen by the event loop. From then on a second one ends the process at once.
class StopSignal final : private Watcher {
public:
    explicit StopSignal(EventLoop& loop);

    bool is_given() const { return given_; }
    int fd() const { return fd_.get(); }  // readable once the signal has come and until the loop has seen it

private:
    void ready(int fd, std::uint32_t events) override;

    Descriptor fd_;
    bool given_ = false;
};

}  // namespace infra::propagator
