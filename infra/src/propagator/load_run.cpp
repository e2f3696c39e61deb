#include "propagator/load_run.hpp"

#include "infra/log/log.hpp"

#include <fstream>
#include <iostream>
#include <sys/resource.h>

namespace infra::propagator {
namespace {

std::chrono::nanoseconds of(const timeval& time)
{
    return std::chrono::seconds{time.tv_sec} + std::chrono::microseconds{time.tv_usec};
}

std::chrono::nanoseconds cpu_now()
{
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    return of(usage.ru_utime) + of(usage.ru_stime);
}

}  // namespace

LoadRunClock::LoadRunClock() : start_(std::chrono::steady_clock::now()), cpu_(cpu_now()) {}

domain::propagation::LoadRun LoadRunClock::finish(const LoadConfig& load, const std::string& target,
                                                  std::uint64_t sent) const
{
    domain::propagation::LoadRun run;
    run.target = target;
    run.rate = load.rate;
    run.duration = load.duration;
    run.intended = domain::propagation::Pace::per_second(load.rate).value().steps_within(load.duration);
    run.sent = sent;
    run.elapsed = std::chrono::steady_clock::now() - start_;
    run.cpu = cpu_now() - cpu_;
    return run;
}

bool write_report(const std::string& file, const domain::propagation::LoadRun& run,
                  const domain::propagation::LoadRecorder& recorder)
{
    std::cout << domain::propagation::report_text(run, recorder) << std::flush;
    if (file.empty()) return true;
    std::ofstream out(file, std::ios::binary | std::ios::trunc);
    out << (file.ends_with(".csv") ? domain::propagation::report_csv(run, recorder)
                                   : domain::propagation::report_json(run, recorder));
    out.close();
    if (out) return true;
    log_error("the report cannot be written", {{"file", file}});
    return false;
}

}  // namespace infra::propagator
