#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace domain::propagation {

// One send that came to its end.
struct Sample {
    double jitter_ms = 0;  // start of the send minus its ideal tick; negative = early
    unsigned status = 0;   // 0: no answer
    bool failed = false;
};

// What the newest samples say.
struct WindowSummary {
    double jitter_ms = 0;  // mean
    unsigned status = 0;   // of the newest sample
    double failed_percent = 0;
    std::size_t samples = 0;
    std::size_t samples_max = 0;
    std::uint64_t total = 0;  // ever
};

// The samples of the newest sends. Not thread safe.
class WindowMetrics {
public:
    explicit WindowMetrics(std::size_t samples_max);

    void add(const Sample& sample);
    WindowSummary summary() const;

private:
    std::size_t samples_max_;
    std::vector<Sample> samples_;  // a ring once it is full
    std::size_t newest_ = 0;
    std::uint64_t total_ = 0;
};

// The line that people and scripts read: "HTTP metrics: jitter=...".
std::string metrics_line(const WindowSummary& summary);

}  // namespace domain::propagation
