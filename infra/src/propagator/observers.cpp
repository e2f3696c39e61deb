#include "propagator/observers.hpp"

#include "infra/log/log.hpp"

#include <fmt/format.h>

#include <chrono>
#include <cstdio>

namespace infra::propagator {
namespace {

using domain::propagation::is_failure;
using domain::propagation::Moment;

// People cannot read faster, and a terminal over a slow line must not hold up the ticks.
constexpr std::chrono::milliseconds redraw_interval{100};

double in_ms(std::chrono::nanoseconds duration)
{
    return std::chrono::duration<double, std::milli>(duration).count();
}

}  // namespace

void LiveLine::show(const std::string& text)
{
    const Moment now = std::chrono::steady_clock::now();
    if (!on_ || (shown_ && now - shown_at_ < redraw_interval)) return;
    fmt::print(stderr, "\r{}\x1B[K", text);
    shown_ = true;
    shown_at_ = now;
}

void LiveLine::clear()
{
    if (!shown_) return;
    fmt::print(stderr, "\r\x1B[K");
    shown_ = false;
}

PeriodObserver::PeriodObserver(PropagatorMetrics& metrics, LiveLine& line, std::vector<StreamLabel> streams,
                               std::size_t window)
    : metrics_(metrics), line_(line), streams_(std::move(streams))
{
    for (std::size_t i = 0; i < streams_.size(); ++i) {
        windows_.emplace_back(window);
        log_summary(i, windows_.back().summary());
    }
}

void PeriodObserver::ticked(std::size_t stream, const domain::propagation::Tick& tick, Moment now)
{
    metrics_.ticked(stream, tick, now);
    if (tick.skipped == 0 && !tick.caught_up) return;
    line_.clear();
    log_warning(
        "ticks missed",
        {{"stream", streams_[stream].name}, {"skipped", tick.skipped}, {"caught_up", tick.caught_up}});
}

void PeriodObserver::overflow(std::size_t stream)
{
    metrics_.overflow(stream);
    line_.clear();
    log_warning("tick dropped: too many events in flight", {{"stream", streams_[stream].name}});
}

void PeriodObserver::retrying(std::size_t stream, const domain::propagation::TryResult& result)
{
    metrics_.retrying(stream);
    log_debug("trying again",
              {{"stream", streams_[stream].name}, {"status", result.status}, {"reason", result.error}});
}

void PeriodObserver::finished(const app::FinishedSend& send)
{
    metrics_.finished(send);
    if (is_failure(send.result)) log_failure(send);
    if (send.result.abandoned) return;  // what it would have come to is not known
    auto& window = windows_[send.stream];
    window.add({in_ms(send.started - send.ideal), send.result.status, is_failure(send.result)});
    const auto summary = window.summary();
    metrics_.window(send.stream, summary);
    log_summary(send.stream, summary);
}

void PeriodObserver::log_failure(const app::FinishedSend& send)
{
    line_.clear();
    const auto& stream = streams_[send.stream];
    if (send.result.abandoned) {
        log_warning("event abandoned", {{"stream", stream.name}, {"tick", send.tick}, {"tries", send.tries}});
    } else if (send.result.status == 0) {
        log_warning("Consumer unreachable", {{"stream", stream.name},
                                             {"receiver", stream.receiver},
                                             {"tick", send.tick},
                                             {"tries", send.tries},
                                             {"reason", send.result.error}});
    } else {
        log_warning("event refused", {{"stream", stream.name},
                                      {"receiver", stream.receiver},
                                      {"tick", send.tick},
                                      {"tries", send.tries},
                                      {"status", send.result.status}});
    }
}

void PeriodObserver::log_summary(std::size_t stream, const domain::propagation::WindowSummary& summary)
{
    const std::string text = domain::propagation::metrics_line(summary);
    const auto& name = streams_[stream].name;
    if (line_.is_on()) {
        line_.show(streams_.size() == 1 ? text : name + ": " + text);
    } else if (summary.total == 0) {
        log_record(LogLevel::info, "metrics", {{"stream", name}, {"line", text}});
    } else if (log_enabled(LogLevel::info)) {
        log_record(LogLevel::info, "metrics",
                   {{"stream", name},
                    {"line", text},
                    {"jitter_ms", summary.jitter_ms},
                    {"status", summary.status},
                    {"failed_percent", summary.failed_percent},
                    {"window", summary.samples},
                    {"total", summary.total}});
    }
}

void LoadObserver::ticked(std::size_t stream, const domain::propagation::Tick& tick, Moment now)
{
    metrics_.ticked(stream, tick, now);
    ++sent_;
}

void LoadObserver::finished(const app::FinishedSend& send)
{
    metrics_.finished(send);
    recorder_.record({send.ideal, send.started, send.ended, send.result});
    constexpr std::uint64_t look_every = 256;
    if (!line_.is_on() || recorder_.completed() % look_every != 0) return;
    line_.show(fmt::format("sent={} succeeded={} failed={} p50={:.2f} ms p99={:.2f} ms", sent_,
                           recorder_.succeeded(), recorder_.completed() - recorder_.succeeded(),
                           in_ms(recorder_.latency().percentile(50)),
                           in_ms(recorder_.latency().percentile(99))));
}

}  // namespace infra::propagator
