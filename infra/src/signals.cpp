#include "infra/signals.hpp"

#include "infra/log/log.hpp"

#include <csignal>
#include <sys/signalfd.h>
#include <unistd.h>
#include <utility>

namespace infra {
namespace {

// Never unblocked: it is harmless to a thread that does not wait any more, where SIGTERM would end the
// process.
constexpr int watch_ends = SIGUSR1;

sigset_t stop_signals()
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    return set;
}

// A terminal that hangs up and logrotate send the same signal; only a program with log files means the
// latter.
bool means_stop(int signal) { return signal != SIGHUP || !reopen_log_files(); }

// Whether it was a signal to stop that came, and not `other`, which is 0 for none.
bool wait_for_stop_signal_or(int other)
{
    const auto stop = stop_signals();
    auto set = stop;
    if (other != 0) sigaddset(&set, other);
    int signal = 0;
    do {
        sigwait(&set, &signal);
        if (signal == other) return false;
    } while (!means_stop(signal));
    pthread_sigmask(SIG_UNBLOCK, &stop, nullptr);
    return true;
}

}  // namespace

void block_stop_signals()
{
    auto set = stop_signals();
    sigaddset(&set, watch_ends);
    pthread_sigmask(SIG_BLOCK, &set, nullptr);
    std::signal(SIGPIPE, SIG_IGN);
}

void wait_for_stop_signal() { wait_for_stop_signal_or(0); }

StopWatch::StopWatch(std::function<void()> stop)
    : thread_([stop = std::move(stop)] {
          if (!wait_for_stop_signal_or(watch_ends)) return;
          log_info("stopping");
          stop();
      })
{
}

StopWatch::~StopWatch()
{
    pthread_kill(thread_.native_handle(), watch_ends);
    thread_.join();
}

int open_stop_signals()
{
    const auto set = stop_signals();
    return ::signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

bool take_stop_signal(int fd)
{
    signalfd_siginfo info{};
    if (::read(fd, &info, sizeof info) != sizeof info) return false;
    if (!means_stop(static_cast<int>(info.ssi_signo))) return false;
    const auto set = stop_signals();
    pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
    return true;
}

}  // namespace infra
