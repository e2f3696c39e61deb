#pragma once

#include "app/ports/propagation_observer.hpp"
#include "domain/propagation/window_metrics.hpp"

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <map>
#include <string>
#include <vector>

namespace infra::propagator {

// The Prometheus metrics of the propagator. text() may be called from any thread, the rest from one.
class PropagatorMetrics {
public:
    explicit PropagatorMetrics(const std::vector<std::string>& streams);

    void ticked(std::size_t stream, const domain::propagation::Tick& tick, domain::propagation::Moment now);
    void overflow(std::size_t stream);
    void retrying(std::size_t stream);
    void finished(const app::FinishedSend& send);
    void window(std::size_t stream, const domain::propagation::WindowSummary& summary);

    // Text exposition format 0.0.4.
    std::string text() const;

private:
    // Looked up once: a load run counts ten thousands of requests a second.
    struct Stream {
        std::string name;
        prometheus::Counter* ticks = nullptr;
        prometheus::Counter* skipped = nullptr;
        prometheus::Counter* caught_up = nullptr;
        prometheus::Counter* dropped = nullptr;
        prometheus::Counter* retries = nullptr;
        prometheus::Counter* unanswered = nullptr;
        prometheus::Counter* abandoned = nullptr;
        prometheus::Gauge* in_flight = nullptr;
        prometheus::Gauge* jitter = nullptr;
        prometheus::Gauge* failed = nullptr;
        prometheus::Histogram* offset = nullptr;
        prometheus::Histogram* duration = nullptr;
        std::map<unsigned, prometheus::Counter*> answered;
    };

    prometheus::Family<prometheus::Counter>& counter(const char* name, const char* help);
    prometheus::Family<prometheus::Gauge>& gauge(const char* name, const char* help);
    prometheus::Family<prometheus::Histogram>& histogram(const char* name, const char* help);

    prometheus::Registry registry_;
    prometheus::Family<prometheus::Counter>& sends_;
    std::vector<Stream> streams_;
};

}  // namespace infra::propagator
