#include "infra/propagator/propagator.hpp"

#include "app/clocks.hpp"
#include "app/propagate.hpp"
#include "infra/cli.hpp"
#include "infra/log/log.hpp"
#include "propagator/admin_port.hpp"
#include "propagator/event_loop.hpp"
#include "propagator/health_probe.hpp"
#include "propagator/http_transport.hpp"
#include "propagator/kafka_transport.hpp"
#include "propagator/load_run.hpp"
#include "propagator/observers.hpp"
#include "propagator/payload_file.hpp"
#include "propagator/stop_signal.hpp"

#include <algorithm>
#include <optional>
#include <random>
#include <unistd.h>

namespace infra::propagator {
namespace {

using domain::propagation::Pace;
using domain::propagation::TickSchedule;

constexpr std::string_view kafka_scheme = "kafka:";

bool is_kafka(const PropagatorStream& stream) { return stream.target.starts_with(kafka_scheme); }

domain::propagation::RandomBits seeded(std::uint64_t seed)
{
    return [generator = std::mt19937_64(seed)]() mutable { return generator(); };
}

domain::propagation::RandomBits unpredictable()
{
    std::random_device device;
    return seeded((std::uint64_t{device()} << 32U) | device());
}

app::PropagationClocks clocks()
{
    return {[] { return Moment(std::chrono::steady_clock::now()); }, [] { return app::system_now(); }};
}

std::vector<StreamLabel> labels_of(const PropagatorConfig& config)
{
    std::vector<StreamLabel> labels;
    for (const auto& [name, stream] : config.streams)
        labels.push_back({name, is_kafka(stream) ? stream.target : redacted_http_url(stream.target)});
    return labels;
}

std::vector<std::string> names_of(const PropagatorConfig& config)
{
    std::vector<std::string> names;
    for (const auto& [name, stream] : config.streams) names.push_back(name);
    return names;
}

TickSchedule schedule_of(const PropagatorConfig& config, const PropagatorStream& stream, Moment start)
{
    if (config.load.rate == 0) return {start, Pace::every(stream.period), config.missed_ticks};
    const auto pace = Pace::per_second(config.load.rate).value();
    return {start, pace, domain::propagation::MissedTicks::catch_up, pace.steps_within(config.load.duration)};
}

domain::propagation::PayloadSource source_of(const PropagatorConfig& config,
                                             std::vector<domain::propagation::PayloadTemplate> payloads,
                                             std::size_t stream)
{
    return {std::move(payloads), config.payload_order,
            config.payload_seed ? seeded(*config.payload_seed + stream) : unpredictable()};
}

std::vector<app::StreamPlan> plans_of(const PropagatorConfig& config, Payloads payloads, Moment start)
{
    std::vector<app::StreamPlan> plans;
    for (const auto& [name, stream] : config.streams) {
        const std::size_t index = plans.size();
        app::StreamPlan plan{schedule_of(config, stream, start),
                             source_of(config, std::move(payloads[index]), index), config.send,
                             config.in_flight_max, app::Overflow::drop};
        if (config.load.rate > 0) {
            plan.policy.tries_max = 1;  // what is measured is each request, not what we make of a failure
            plan.in_flight_max = config.load.connections_max;
            plan.overflow = app::Overflow::wait;
        }
        // librdkafka repeats by itself, and an idempotent producer does so without doubles.
        if (is_kafka(stream)) plan.policy.tries_max = 1;
        plans.push_back(std::move(plan));
    }
    return plans;
}

Transports make_transports(const Config& config, EventLoop& loop)
{
    const auto& sender = config.propagator;
    HttpTransportOptions http{
        .urls = {}, .timeout = sender.send_timeout, .certificate_file = sender.certificate_file};
    KafkaTransportOptions kafka{config.kafka.bootstrap_servers, {}, sender.send_timeout};
    for (const auto& [name, stream] : sender.streams) {
        const bool to_kafka = is_kafka(stream);
        http.urls.push_back(to_kafka ? "" : stream.target);
        kafka.topics.push_back(to_kafka ? stream.target.substr(kafka_scheme.size()) : "");
    }
    const auto each = sender.load.rate > 0 ? sender.load.connections_max : sender.in_flight_max;
    http.connections_max = each * sender.streams.size();
    const auto http_transport = std::make_shared<HttpTransport>(std::move(http), loop);
    std::shared_ptr<KafkaTransport> kafka_transport;
    std::vector<std::shared_ptr<LoopTransport>> by_stream;
    for (const auto& [name, stream] : sender.streams) {
        if (!is_kafka(stream)) {
            by_stream.push_back(http_transport);
            continue;
        }
        if (!kafka_transport) kafka_transport = std::make_shared<KafkaTransport>(kafka, loop);
        by_stream.push_back(kafka_transport);
    }
    return Transports(std::move(by_stream));
}

// Drives the use case until everything is sent, or until a signal and the grace period after it.
void drive(app::Propagate& propagate, Transports& transports, EventLoop& loop, StopSignal& stop,
           std::chrono::milliseconds grace, Moment stop_at, AdminPort& admin)
{
    Moment abandon_at = Moment::max();
    while (!propagate.finished()) {
        const Moment next = propagate.step();
        // Asked for after the step: what it has just begun to send wants the transport's attention at once.
        const Moment timer = transports.next_timer();
        loop.wait_until(std::min({next, timer, propagate.stopping() ? abandon_at : stop_at}));
        transports.run_timers();
        const Moment now = std::chrono::steady_clock::now();
        if (!propagate.stopping() && (stop.is_given() || now >= stop_at)) {
            admin.set_ready(false);
            propagate.stop();
            abandon_at = stop.is_given() ? now + grace : now;
        }
        if (propagate.stopping() && now >= abandon_at) propagate.abandon();
    }
}

// Empty when the streams may start; else the exit code.
std::optional<int> wait_for_health(const PropagatorConfig& config, StopSignal& stop)
{
    if (config.health_check_endpoint.empty()) return std::nullopt;
    const std::string receiver = redacted_http_url(config.health_check_endpoint);
    std::string reason;
    switch (probe_health(config.health_check_endpoint, config.certificate_file, stop.fd(), reason)) {
        case Health::healthy:
            log_info("the receiver is healthy", {{"receiver", receiver}});
            return std::nullopt;
        case Health::stopped:
            return exit_fine;
        case Health::unhealthy:
            break;
    }
    log_error("aborting startup", {{"receiver", receiver}, {"reason", reason}});
    return exit_failed;
}

int run_streams(const Config& config, Payloads payloads, PropagatorMetrics& metrics, LiveLine& line,
                EventLoop& loop, StopSignal& stop, AdminPort& admin)
{
    const auto& sender = config.propagator;
    auto transports = make_transports(config, loop);
    PeriodObserver observer(metrics, line, labels_of(sender), sender.metrics_window);
    app::Propagate propagate(transports, observer, clocks(), unpredictable(),
                             plans_of(sender, std::move(payloads), std::chrono::steady_clock::now()));
    admin.set_ready(true);
    drive(propagate, transports, loop, stop, config.drain_timeout, Moment::max(), admin);
    return exit_fine;
}

int run_load(const Config& config, Payloads payloads, PropagatorMetrics& metrics, LiveLine& line,
             EventLoop& loop, StopSignal& stop, AdminPort& admin)
{
    const auto& sender = config.propagator;
    auto transports = make_transports(config, loop);
    LoadObserver observer(metrics, line);
    LoadRunClock clock;
    app::Propagate propagate(transports, observer, clocks(), unpredictable(),
                             plans_of(sender, std::move(payloads), clock.start()));
    admin.set_ready(true);
    // A receiver that is too slow makes the run longer, but not for ever.
    const Moment stop_at = clock.start() + sender.load.duration + config.drain_timeout;
    drive(propagate, transports, loop, stop, config.drain_timeout, stop_at, admin);
    line.clear();
    const auto result = clock.finish(sender.load, labels_of(sender).front().receiver, observer.sent());
    if (!write_report(sender.load.report_file, result, observer.recorder())) return exit_failed;
    return stop.is_given() || result.sent == result.intended ? exit_fine : exit_failed;
}

}  // namespace

std::vector<std::string> load_payloads(const Config& config, Payloads& payloads)
{
    std::vector<std::string> faults;
    payloads.clear();
    for (const auto& [name, stream] : config.propagator.streams) {
        PayloadFile file;
        // A file that is not named is somebody else's fault.
        if (!stream.payload_file.empty())
            file = read_payload_file(stream.payload_file, config.propagator.payload_templates);
        for (auto& fault : file.faults) {
            if (std::find(faults.begin(), faults.end(), fault) == faults.end())
                faults.push_back(std::move(fault));
        }
        payloads.push_back(std::move(file.payloads));
    }
    return faults;
}

int run(const Config& config, Payloads payloads, std::string_view version)
{
    EventLoop loop;
    StopSignal stop(loop);
    PropagatorMetrics metrics(names_of(config.propagator));
    AdminPort admin(config, metrics, version);
    LiveLine line(config.log.format == LogFormat::text && ::isatty(STDERR_FILENO) == 1);
    int code = exit_fine;
    if (const auto ended = wait_for_health(config.propagator, stop)) {
        code = *ended;
    } else if (config.propagator.load.rate > 0) {
        code = run_load(config, std::move(payloads), metrics, line, loop, stop, admin);
    } else {
        code = run_streams(config, std::move(payloads), metrics, line, loop, stop, admin);
    }
    line.clear();
    log_info("Event propagator stopped.");
    return code;
}

}  // namespace infra::propagator
