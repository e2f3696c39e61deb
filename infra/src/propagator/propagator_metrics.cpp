#include "propagator/propagator_metrics.hpp"

#include "metrics/process_metrics.hpp"

#include <prometheus/text_serializer.h>

#include <chrono>

namespace infra::propagator {
namespace {

const prometheus::Histogram::BucketBoundaries& tick_offsets()
{
    static const prometheus::Histogram::BucketBoundaries bounds{.0001, .00025, .0005, .001, .0025,
                                                                .005,  .01,    .1,    1,    10};
    return bounds;
}

const prometheus::Histogram::BucketBoundaries& durations()
{
    static const prometheus::Histogram::BucketBoundaries bounds{.0005, .001, .0025, .005, .01, .025, .05, .1,
                                                                .25,   .5,   1,     2.5,  5,   10,   30};
    return bounds;
}

double in_seconds(std::chrono::nanoseconds duration)
{
    return std::chrono::duration<double>(duration).count();
}

}  // namespace

prometheus::Family<prometheus::Counter>& PropagatorMetrics::counter(const char* name, const char* help)
{
    return prometheus::BuildCounter().Name(name).Help(help).Register(registry_);
}

prometheus::Family<prometheus::Gauge>& PropagatorMetrics::gauge(const char* name, const char* help)
{
    return prometheus::BuildGauge().Name(name).Help(help).Register(registry_);
}

prometheus::Family<prometheus::Histogram>& PropagatorMetrics::histogram(const char* name, const char* help)
{
    return prometheus::BuildHistogram().Name(name).Help(help).Register(registry_);
}

PropagatorMetrics::PropagatorMetrics(const std::vector<std::string>& streams)
    : sends_(
          counter("propagator_sends_total", "Events whose sending has ended, by what the last try came to."))
{
    auto& ticks = counter("propagator_ticks_total", "Ticks that happened.");
    auto& skipped = counter("propagator_ticks_skipped_total", "Missed ticks that were left out.");
    auto& caught_up = counter("propagator_ticks_caught_up_total", "Missed ticks that were made up for.");
    auto& dropped = counter("propagator_ticks_dropped_total", "Ticks that found too many events in flight.");
    auto& retries = counter("propagator_retries_total", "Tries that failed and were repeated.");
    auto& in_flight = gauge("propagator_in_flight", "Events being sent or waiting for another try.");
    auto& jitter =
        gauge("propagator_window_jitter_seconds", "Mean offset of the newest sends from their ticks.");
    auto& failed = gauge("propagator_window_failed_ratio", "Share of the newest sends that failed.");
    auto& offset = histogram("propagator_tick_offset_seconds", "Start of a send minus its ideal tick.");
    auto& duration = histogram("propagator_send_duration_seconds", "First try to last answer.");
    for (const auto& name : streams) {
        const prometheus::Labels labels{{"stream", name}};
        streams_.push_back({name,
                            &ticks.Add(labels),
                            &skipped.Add(labels),
                            &caught_up.Add(labels),
                            &dropped.Add(labels),
                            &retries.Add(labels),
                            &sends_.Add({{"stream", name}, {"outcome", "unanswered"}}),
                            &sends_.Add({{"stream", name}, {"outcome", "abandoned"}}),
                            &in_flight.Add(labels),
                            &jitter.Add(labels),
                            &failed.Add(labels),
                            &offset.Add(labels, tick_offsets()),
                            &duration.Add(labels, durations()),
                            {}});
    }
}

void PropagatorMetrics::ticked(std::size_t stream, const domain::propagation::Tick& tick,
                               domain::propagation::Moment now)
{
    auto& metrics = streams_[stream];
    metrics.ticks->Increment();
    metrics.in_flight->Increment();
    if (tick.skipped > 0) metrics.skipped->Increment(static_cast<double>(tick.skipped));
    if (tick.caught_up) metrics.caught_up->Increment();
    metrics.offset->Observe(in_seconds(now - tick.ideal));
}

void PropagatorMetrics::overflow(std::size_t stream)
{
    streams_[stream].dropped->Increment();
    streams_[stream].in_flight->Decrement();
}

void PropagatorMetrics::retrying(std::size_t stream) { streams_[stream].retries->Increment(); }

void PropagatorMetrics::finished(const app::FinishedSend& send)
{
    auto& metrics = streams_[send.stream];
    metrics.in_flight->Decrement();
    metrics.duration->Observe(in_seconds(send.ended - send.started));
    if (send.result.status == 0) {
        (send.result.abandoned ? metrics.abandoned : metrics.unanswered)->Increment();
        return;
    }
    auto*& counter = metrics.answered[send.result.status];
    if (counter == nullptr)
        counter = &sends_.Add({{"stream", metrics.name}, {"outcome", std::to_string(send.result.status)}});
    counter->Increment();
}

void PropagatorMetrics::window(std::size_t stream, const domain::propagation::WindowSummary& summary)
{
    streams_[stream].jitter->Set(summary.jitter_ms / 1000);
    streams_[stream].failed->Set(summary.failed_percent / 100);
}

std::string PropagatorMetrics::text() const
{
    auto families = registry_.Collect();
    metrics::append_process(families);
    return prometheus::TextSerializer().Serialize(families);
}

}  // namespace infra::propagator
