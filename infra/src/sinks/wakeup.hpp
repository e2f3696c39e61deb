#pragma once

#include <chrono>

namespace infra::sinks {

// Wakes a thread that waits for a socket: ring() may be called from any.
class Wakeup {
public:
    Wakeup();
    ~Wakeup();
    Wakeup(const Wakeup&) = delete;
    Wakeup& operator=(const Wakeup&) = delete;

    void ring();
    // Until it rings, `socket` has something to read (-1 = no socket), or the time is over.
    void wait(int socket, std::chrono::milliseconds time);

private:
    int event_;
};

}  // namespace infra::sinks
