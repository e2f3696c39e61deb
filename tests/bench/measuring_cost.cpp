// What the measuring of one request costs a load run: the clock is read three times and three histograms, a
// map and the Prometheus metrics are brought up to date. Prints nanoseconds of CPU per request.
#include "propagator/observers.hpp"

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <ctime>

namespace {

double cpu_seconds()
{
    timespec time{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

}  // namespace

int main()
{
    constexpr std::uint64_t requests = 2'000'000;
    infra::propagator::PropagatorMetrics metrics({"default"});
    infra::propagator::LiveLine line(false);
    infra::propagator::LoadObserver observer(metrics, line);
    const double before = cpu_seconds();
    for (std::uint64_t i = 0; i < requests; ++i) {
        const auto ideal = std::chrono::steady_clock::now();
        const auto started = std::chrono::steady_clock::now();
        observer.ticked(0, {i, ideal, 0, false}, started);
        const auto ended = std::chrono::steady_clock::now() + std::chrono::microseconds(i % 5000);
        observer.finished({0, i, ideal, started, ended, 1, {.status = 200}});
    }
    std::printf("%.1f\n", (cpu_seconds() - before) / static_cast<double>(requests) * 1e9);
}
