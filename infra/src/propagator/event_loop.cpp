#include "propagator/event_loop.hpp"

#include <array>
#include <cerrno>
#include <chrono>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/timerfd.h>
#include <system_error>
#include <unistd.h>

namespace infra::propagator {
namespace {

[[noreturn]] void fail() { throw std::system_error(errno, std::generic_category(), "event loop"); }

}  // namespace

Descriptor::Descriptor(int fd) : fd_(fd)
{
    if (fd < 0) fail();
}

Descriptor::~Descriptor() { ::close(fd_); }

EventLoop::EventLoop()
    : epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      timer_(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC))
{
    // The kernel may else delay this thread's timers by 50 us to bundle them.
    ::prctl(PR_SET_TIMERSLACK, 1UL);
    // Edge triggered: the expiry is never read, arming it anew is what clears it.
    epoll_event event{.events = EPOLLIN | EPOLLET, .data = {.fd = timer_.get()}};
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, timer_.get(), &event) != 0) fail();
}

void EventLoop::watch(int fd, std::uint32_t events, Watcher* watcher)
{
    const auto index = static_cast<std::size_t>(fd);
    if (watches_.size() <= index) watches_.resize(index + 1);
    Watch& watch = watches_[index];
    if (watch.events == events && watch.watcher == watcher) return;
    const int operation = events == 0 ? EPOLL_CTL_DEL : watch.events == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
    epoll_event event{.events = events, .data = {.fd = fd}};
    // A descriptor that is already closed has left by itself.
    const bool done = ::epoll_ctl(epoll_.get(), operation, fd, &event) == 0;
    if (!done && operation != EPOLL_CTL_DEL) fail();
    watch = {events == 0 ? nullptr : watcher, events};
}

void EventLoop::arm(Moment moment)
{
    if (moment == armed_) return;
    itimerspec setting{};
    if (moment != Moment::max()) {
        const auto since_boot = moment.time_since_epoch();
        const auto seconds = std::chrono::floor<std::chrono::seconds>(since_boot);
        setting.it_value.tv_sec = seconds.count();
        setting.it_value.tv_nsec = (since_boot - seconds).count();
    }
    if (::timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &setting, nullptr) != 0) fail();
    armed_ = moment;
}

void EventLoop::wait_until(Moment moment)
{
    const bool due = moment <= std::chrono::steady_clock::now();
    if (!due) arm(moment);
    std::array<epoll_event, 256>
        events;  // NOLINT(cppcoreguidelines-pro-type-member-init): filled by the kernel
    const int count =
        ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), due ? 0 : -1);
    if (count < 0 && errno != EINTR) fail();
    for (int i = 0; i < count; ++i) {
        const auto& event = events[static_cast<std::size_t>(i)];
        const auto fd = static_cast<std::size_t>(event.data.fd);
        // A watcher told before may have taken this one out.
        if (fd < watches_.size() && watches_[fd].watcher != nullptr)
            watches_[fd].watcher->ready(event.data.fd, event.events);
    }
}

}  // namespace infra::propagator
