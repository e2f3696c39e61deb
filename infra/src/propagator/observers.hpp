#pragma once

#include "app/ports/propagation_observer.hpp"
#include "domain/propagation/load_report.hpp"
#include "domain/propagation/window_metrics.hpp"
#include "propagator/propagator_metrics.hpp"

#include <string>
#include <vector>

namespace infra::propagator {

// One line on a terminal that is written over again and again.
class LiveLine {
public:
    explicit LiveLine(bool on) : on_(on) {}

    bool is_on() const { return on_; }
    void show(const std::string& text);
    // To be called before anything else is written, so that it does not end up in the line.
    void clear();

private:
    bool on_;
    bool shown_ = false;
    domain::propagation::Moment shown_at_{};
};

struct StreamLabel {
    std::string name;
    std::string receiver;  // free of secrets
};

// Logs one line a send (or keeps the live line), for streams with a period.
class PeriodObserver final : public app::PropagationObserver {
public:
    PeriodObserver(PropagatorMetrics& metrics, LiveLine& line, std::vector<StreamLabel> streams,
                   std::size_t window);

    void ticked(std::size_t stream, const domain::propagation::Tick& tick,
                domain::propagation::Moment now) override;
    void overflow(std::size_t stream) override;
    void retrying(std::size_t stream, const domain::propagation::TryResult& result) override;
    void finished(const app::FinishedSend& send) override;

private:
    void log_failure(const app::FinishedSend& send);
    void log_summary(std::size_t stream, const domain::propagation::WindowSummary& summary);

    PropagatorMetrics& metrics_;
    LiveLine& line_;
    std::vector<StreamLabel> streams_;
    std::vector<domain::propagation::WindowMetrics> windows_;
};

// Records the requests of a load run.
class LoadObserver final : public app::PropagationObserver {
public:
    LoadObserver(PropagatorMetrics& metrics, LiveLine& line) : metrics_(metrics), line_(line) {}

    void ticked(std::size_t stream, const domain::propagation::Tick& tick,
                domain::propagation::Moment now) override;
    void overflow(std::size_t stream) override { metrics_.overflow(stream); }
    void retrying(std::size_t stream, const domain::propagation::TryResult&) override
    {
        metrics_.retrying(stream);
    }
    void finished(const app::FinishedSend& send) override;

    const domain::propagation::LoadRecorder& recorder() const { return recorder_; }
    std::uint64_t sent() const { return sent_; }

private:
    PropagatorMetrics& metrics_;
    LiveLine& line_;
    domain::propagation::LoadRecorder recorder_;
    std::uint64_t sent_ = 0;
};

}  // namespace infra::propagator
