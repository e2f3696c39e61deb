#include "propagator/stop_signal.hpp"

#include "infra/log/log.hpp"

#include <sys/epoll.h>

namespace infra::propagator {

StopSignal::StopSignal(EventLoop& loop) : fd_(open_stop_signals()) { loop.watch(fd_.get(), EPOLLIN, this); }

void StopSignal::ready(int fd, std::uint32_t /*events*/)
{
    if (!take_stop_signal(fd)) return;
    given_ = true;
    log_info("stopping");
}

}  // namespace infra::propagator
