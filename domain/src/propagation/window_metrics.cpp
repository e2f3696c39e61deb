#include "domain/propagation/window_metrics.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>

namespace domain::propagation {

WindowMetrics::WindowMetrics(std::size_t samples_max) : samples_max_(samples_max)
{
    assert(samples_max > 0);
    samples_.reserve(samples_max);
}

void WindowMetrics::add(const Sample& sample)
{
    if (samples_.size() < samples_max_) {
        newest_ = samples_.size();
        samples_.push_back(sample);
    } else {
        newest_ = (newest_ + 1) % samples_max_;
        samples_[newest_] = sample;
    }
    ++total_;
}

WindowSummary WindowMetrics::summary() const
{
    WindowSummary summary{.samples = samples_.size(), .samples_max = samples_max_, .total = total_};
    if (samples_.empty()) return summary;
    // Summed anew each time: a running sum of doubles would drift over the days.
    double jitter = 0;
    for (const auto& sample : samples_) jitter += sample.jitter_ms;
    const auto failed =
        std::count_if(samples_.begin(), samples_.end(), [](const Sample& s) { return s.failed; });
    const auto count = static_cast<double>(samples_.size());
    summary.jitter_ms = jitter / count;
    summary.failed_percent = static_cast<double>(failed) / count * 100;
    summary.status = samples_[newest_].status;
    return summary;
}

std::string metrics_line(const WindowSummary& summary)
{
    if (summary.total == 0) return "Metrics: waiting for data …";
    return fmt::format(
        "HTTP metrics: jitter={:5.1f} ms | status={:3d} | fail={:5.1f}% | win={}/{} | total={}",
        summary.jitter_ms, summary.status, summary.failed_percent, summary.samples, summary.samples_max,
        summary.total);
}

}  // namespace domain::propagation
