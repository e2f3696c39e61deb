#include "sinks/wakeup.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <poll.h>
#include <sys/eventfd.h>
#include <system_error>
#include <unistd.h>

namespace infra::sinks {

Wakeup::Wakeup() : event_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK))
{
    if (event_ < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
}

Wakeup::~Wakeup() { ::close(event_); }

void Wakeup::ring()
{
    const std::uint64_t one = 1;
    // It fails only when the counter is full, and then it has rung often enough.
    [[maybe_unused]] const auto written = ::write(event_, &one, sizeof one);
}

void Wakeup::wait(int socket, std::chrono::milliseconds time)
{
    std::array<pollfd, 2> watched{{{event_, POLLIN, 0}, {socket, POLLIN, 0}}};
    const auto limit = std::clamp<std::chrono::milliseconds::rep>(time.count(), 0, 60'000);
    ::poll(watched.data(), watched.size(), static_cast<int>(limit));
    std::uint64_t rings = 0;
    [[maybe_unused]] const auto read = ::read(event_, &rings, sizeof rings);
}

}  // namespace infra::sinks
