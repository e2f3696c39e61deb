#pragma once

#include "domain/propagation/pace.hpp"

#include <cstdint>
#include <vector>

namespace infra::propagator {

using domain::propagation::Moment;

// Owns a file descriptor.
class Descriptor {
public:
    explicit Descriptor(int fd);  // throws std::system_error when fd is negative, with errno
    ~Descriptor();
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;

    int get() const { return fd_; }

private:
    int fd_;
};

// Is told that a descriptor can be read or written, on the thread of the loop.
class Watcher {
public:
    Watcher() = default;
    Watcher(const Watcher&) = delete;
    Watcher& operator=(const Watcher&) = delete;
    virtual ~Watcher() = default;
    virtual void ready(int fd, std::uint32_t events) = 0;  // EPOLLIN, EPOLLOUT, EPOLLERR, EPOLLHUP
};

// Waits for descriptors and for a moment at once. The moment is kept by a timerfd: epoll's own timeout counts
// whole milliseconds, which is what a tick may be late at most.
class EventLoop {
public:
    EventLoop();

    // Adds or changes; `events` of 0 takes the descriptor out, before it is closed.
    void watch(int fd, std::uint32_t events, Watcher* watcher);
    // Returns at `moment`, or once some watchers were told something.
    void wait_until(Moment moment);

private:
    struct Watch {
        Watcher* watcher = nullptr;
        std::uint32_t events = 0;
    };

    void arm(Moment moment);

    Descriptor epoll_;
    Descriptor timer_;
    Moment armed_ = Moment::max();
    std::vector<Watch> watches_;  // by descriptor
};

}  // namespace infra::propagator
