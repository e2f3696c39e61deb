#pragma once

#include "domain/propagation/load_report.hpp"
#include "infra/config/config.hpp"
#include "propagator/event_loop.hpp"

#include <string>

namespace infra::propagator {

// Time and CPU from its construction on.
class LoadRunClock {
public:
    LoadRunClock();

    Moment start() const { return start_; }
    domain::propagation::LoadRun finish(const LoadConfig& load, const std::string& target,
                                        std::uint64_t sent) const;

private:
    Moment start_;
    std::chrono::nanoseconds cpu_;
};

// Prints the report for people on standard output and writes the file, if one is named. False when that
// cannot be written.
bool write_report(const std::string& file, const domain::propagation::LoadRun& run,
                  const domain::propagation::LoadRecorder& recorder);

}  // namespace infra::propagator
