#include "infra/signals.hpp"

#include "infra/log/log.hpp"

#include <csignal>
#include <sys/signalfd.h>
#include <unistd.h>

namespace infra {
namespace {

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

}  // namespace

void block_stop_signals()
{
    const auto set = stop_signals();
    pthread_sigmask(SIG_BLOCK, &set, nullptr);
    std::signal(SIGPIPE, SIG_IGN);
}

void wait_for_stop_signal()
{
    const auto set = stop_signals();
    int signal = 0;
    do {
        sigwait(&set, &signal);
    } while (!means_stop(signal));
    pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
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
