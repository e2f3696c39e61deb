#pragma once

#include "domain/propagation/latency_histogram.hpp"
#include "domain/propagation/pace.hpp"
#include "domain/propagation/send_policy.hpp"

#include <cstdint>
#include <map>
#include <string>

namespace domain::propagation {

// One request of a load run. Its latency counts from `intended`, so that a request that had to wait for its
// turn behind a slow receiver is charged that wait (no coordinated omission).
struct LoadSample {
    Moment intended;
    Moment started;
    Moment ended;
    TryResult result;
};

// What a load run measures while it goes on. Not thread safe.
class LoadRecorder {
public:
    void record(const LoadSample& sample);

    std::uint64_t completed() const { return latency_.count(); }
    std::uint64_t succeeded() const { return succeeded_; }
    const LatencyHistogram& latency() const { return latency_; }       // from the intended moment
    const LatencyHistogram& service_time() const { return service_; }  // from the start of the request
    const LatencyHistogram& start_delay() const { return delay_; }     // from intended to start
    const std::map<unsigned, std::uint64_t>& statuses() const { return statuses_; }
    const std::map<std::string, std::uint64_t, std::less<>>& errors() const { return errors_; }

private:
    LatencyHistogram latency_;
    LatencyHistogram service_;
    LatencyHistogram delay_;
    std::uint64_t succeeded_ = 0;
    std::map<unsigned, std::uint64_t> statuses_;  // bounded: at most 1000 statuses
    std::map<std::string, std::uint64_t, std::less<>> errors_;
};

// What the run was and what it cost.
struct LoadRun {
    std::string target;  // free of secrets
    double rate = 0;     // asked for, per second
    std::chrono::nanoseconds duration{};
    std::uint64_t intended = 0;
    std::uint64_t sent = 0;
    std::chrono::nanoseconds elapsed{};
    std::chrono::nanoseconds cpu{};  // of this process, user and system
};

std::string report_json(const LoadRun& run, const LoadRecorder& recorder);
// A header line and one line of values, so that the reports of several runs can be put together.
std::string report_csv(const LoadRun& run, const LoadRecorder& recorder);
// For people.
std::string report_text(const LoadRun& run, const LoadRecorder& recorder);

}  // namespace domain::propagation
