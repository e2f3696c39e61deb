#pragma once

#include <functional>
#include <thread>

namespace infra {

// To be called first in main(), before any thread: SIGINT and SIGTERM are blocked everywhere, SIGPIPE is
// ignored. SIGUSR1 is blocked, too, for StopWatch.
void block_stop_signals();

// Waits for SIGINT or SIGTERM; from then on a second one ends the process at once.
void wait_for_stop_signal();

// Calls `stop` on a thread of its own when SIGINT or SIGTERM comes. Ends with its owner's work, signal or
// not.
class StopWatch {
public:
    explicit StopWatch(std::function<void()> stop);
    ~StopWatch();
    StopWatch(const StopWatch&) = delete;
    StopWatch& operator=(const StopWatch&) = delete;

private:
    std::thread thread_;
};

// The same for an event loop: a descriptor (signalfd) that can be read once SIGINT or SIGTERM has come; -1
// with errno when there is none to have.
int open_stop_signals();
// Takes the signal from that descriptor. False when there was none; else a second one ends the process at
// once.
bool take_stop_signal(int fd);

}  // namespace infra
