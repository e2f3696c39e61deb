#include "config/option.hpp"
#include "config/rules.hpp"
#include "domain/propagation/pace.hpp"

#include <iterator>

namespace infra::config {
namespace {

using domain::propagation::MissedTicks;
using domain::propagation::PayloadOrder;
using domain::propagation::Waits;

constexpr double hour = 3600;
constexpr double day = 24 * hour;
constexpr double year = 365 * day;
constexpr double tick = 0.001;  // durations are kept in milliseconds

bool has_streams(const Config& config) { return !config.propagator.streams.empty(); }

bool has_streams_or_load(const Config& config)
{
    return has_streams(config) || config.propagator.load.rate > 0;
}

PropagatorStream& stream_of(Config& config, std::string_view name)
{
    return config.propagator.streams[std::string(name)];
}

// A text of one stream; `check` as for text().
Rule stream_text(std::string allowed, Shown shown, Check check, std::string PropagatorStream::*field)
{
    return {std::move(allowed),
            [=](Config& config, std::string_view value, std::string_view name) -> std::string {
                std::string normal(value);
                std::string problem = check(normal);
                stream_of(config, name).*field = std::move(normal);
                return problem;
            },
            shown};
}

std::vector<Option> stream_options()
{
    return {
        {.name = "PERIOD_IN_SECONDS",
         .yaml_path = "propagator.period_seconds",
         .used_by = propagator,
         .required = true,
         .waived = has_streams_or_load,
         .rule = positive_seconds([](Config & c) -> auto& { return c.propagator.period; }),
         .help = "Seconds between two posts."},
        {.name = "HTTP_POST_ENDPOINT",
         .yaml_path = "propagator.post_endpoint",
         .used_by = propagator,
         .required = true,
         .waived = has_streams,
         .rule = text(
             "http(s) URL or kafka:TOPIC", Shown::url, check_event_target,
             [](Config & c) -> auto& { return c.propagator.post_endpoint; }),
         .help = "Where events are posted."},
        {.name = "PAYLOAD_FILE_PATH",
         .yaml_path = "propagator.payload_file",
         .used_by = propagator,
         .required = true,
         .waived = has_streams,
         .rule = text(
             "path of a JSON file", Shown::plain, check_any,
             [](Config & c) -> auto& { return c.propagator.payload_file; }),
         .help = "JSON array of the objects to post."},
        {.yaml_path = "propagator.streams.*.period_seconds",
         .default_note = "PERIOD_IN_SECONDS",
         .used_by = propagator,
         .key_kind = KeyKind::stream,
         .rule = seconds_by_key(
             tick, year,
             [](Config& c, std::string_view name, Milliseconds value) { stream_of(c, name).period = value; }),
         .help = "Period of one of several streams."},
        {.yaml_path = "propagator.streams.*.post_endpoint",
         .default_note = "HTTP_POST_ENDPOINT",
         .used_by = propagator,
         .key_kind = KeyKind::stream,
         .rule = stream_text("http(s) URL or kafka:TOPIC", Shown::url, check_event_target,
                             &PropagatorStream::target),
         .help = "Its receiver."},
        {.yaml_path = "propagator.streams.*.payload_file",
         .default_note = "PAYLOAD_FILE_PATH",
         .used_by = propagator,
         .key_kind = KeyKind::stream,
         .rule = stream_text("path of a JSON file", Shown::plain, check_any, &PropagatorStream::payload_file),
         .help = "Its payloads."},
        {.name = "HEALTH_CHECK_ENDPOINT",
         .yaml_path = "propagator.health_check_endpoint",
         .default_note = "no probe",
         .used_by = propagator,
         .empty_is_a_fault = true,
         .rule = text(
             "http(s) URL", Shown::url, check_http_url,
             [](Config & c) -> auto& { return c.propagator.health_check_endpoint; }),
         .help = "Probed before the first post; start only when it answers 2xx."},
    };
}

std::vector<Option> payload_options()
{
    return {
        {.name = "PAYLOAD_ORDER",
         .yaml_path = "propagator.payload_order",
         .default_text = "random",
         .used_by = propagator,
         .rule = one_of<PayloadOrder>(
             {{"random", PayloadOrder::random}, {"sequence", PayloadOrder::sequence}}, {},
             [](Config & c) -> auto& { return c.propagator.payload_order; }),
         .help = "Which payload is next."},
        {.name = "PAYLOAD_SEED",
         .yaml_path = "propagator.payload_seed",
         .default_note = "another one each time",
         .used_by = propagator,
         .rule = integer(
             0, 0x7FFFFFFFFFFFFFFF, [](Config & c) -> auto& { return c.propagator.payload_seed.emplace(); }),
         .help = "The same seed makes the same payloads again."},
        {.name = "PAYLOAD_TEMPLATES",
         .yaml_path = "propagator.payload_templates",
         .default_text = "false",
         .used_by = propagator,
         .rule = boolean([](Config & c) -> auto& { return c.propagator.payload_templates; }),
         .help = "Fill in {{counter}}, {{uuid}}, {{now}}, {{random 1 6}} and {{pick ...}} in strings."},
        {.name = "MISSED_TICKS",
         .yaml_path = "propagator.missed_ticks",
         .default_text = "skip",
         .used_by = propagator,
         .rule = one_of<MissedTicks>(
             {{"skip", MissedTicks::skip}, {"catch_up", MissedTicks::catch_up}}, {},
             [](Config & c) -> auto& { return c.propagator.missed_ticks; }),
         .help = "Ticks that the program slept through: left out, or made up for at once."},
        {.name = "METRICS_WINDOW",
         .yaml_path = "propagator.metrics_window",
         .default_text = "100",
         .used_by = propagator,
         .rule = integer(
             1, 100'000, [](Config & c) -> auto& { return c.propagator.metrics_window; }),
         .help = "Newest sends that the metrics line is about."},
    };
}

std::vector<Option> send_options()
{
    return {
        {.name = "SEND_MAX_TRIES",
         .yaml_path = "propagator.max_tries",
         .default_text = "3",
         .used_by = propagator,
         .rule = integer(
             1, 100, [](Config & c) -> auto& { return c.propagator.send.tries_max; }),
         .help = "Tries of one event: no answer, 408, 429 and 5xx are tried again."},
        {.name = "SEND_RETRY_WAITS",
         .yaml_path = "propagator.retry_waits",
         .default_text = "fixed",
         .used_by = propagator,
         .rule = one_of<Waits>(
             {{"fixed", Waits::fixed}, {"exponential", Waits::exponential}}, {},
             [](Config & c) -> auto& { return c.propagator.send.waits; }),
         .help = "0.2, 0.5, 1, 1, ... s; or random below a limit that doubles."},
        {.name = "SEND_RETRY_BASE_SECONDS",
         .yaml_path = "propagator.retry_base_seconds",
         .default_text = "0.2",
         .used_by = propagator,
         .rule = seconds(
             tick, hour, [](Config & c) -> auto& { return c.propagator.send.wait_base; }),
         .help = "First limit of the exponential waits."},
        {.name = "SEND_RETRY_MAX_SECONDS",
         .yaml_path = "propagator.retry_max_seconds",
         .default_text = "30",
         .used_by = propagator,
         .rule = seconds(
             tick, hour, [](Config & c) -> auto& { return c.propagator.send.wait_max; }),
         .help = "Longest of the exponential waits."},
        {.name = "SEND_TIMEOUT_SECONDS",
         .yaml_path = "propagator.timeout_seconds",
         .default_text = "30",
         .used_by = propagator,
         .rule = seconds(
             tick, hour, [](Config & c) -> auto& { return c.propagator.send_timeout; }),
         .help = "Time for one try."},
        {.name = "SEND_IN_FLIGHT_MAX",
         .yaml_path = "propagator.in_flight_max",
         .default_text = "100",
         .used_by = propagator,
         .rule = integer(
             1, 100'000, [](Config & c) -> auto& { return c.propagator.in_flight_max; }),
         .help = "Events of one stream under way at one time; a tick beyond is dropped and counted."},
        {.name = "SSL_CERT_FILE",
         .yaml_path = "propagator.certificate_file",
         .default_note = "the system's trust store",
         .used_by = propagator,
         .rule = text(
             "path of a PEM file", Shown::plain, check_any,
             [](Config & c) -> auto& { return c.propagator.certificate_file; }),
         .help = "Certificates that https receivers are checked against."},
    };
}

std::vector<Option> load_options()
{
    return {
        {.name = "LOAD_RATE",
         .yaml_path = "propagator.load.rate",
         .default_note = "no load run",
         .used_by = propagator,
         .rule = number(
             domain::propagation::rate_min, domain::propagation::rate_max,
             [](Config & c) -> auto& { return c.propagator.load.rate; }),
         .help = "Open-loop load run: requests per second instead of a period, tried once each (--rate)."},
        {.name = "LOAD_DURATION_SECONDS",
         .yaml_path = "propagator.load.duration_seconds",
         .default_text = "10",
         .used_by = propagator,
         .rule = seconds(
             tick, day, [](Config & c) -> auto& { return c.propagator.load.duration; }),
         .help = "Length of the load run (--duration)."},
        {.name = "LOAD_CONNECTIONS",
         .yaml_path = "propagator.load.connections",
         .default_text = "64",
         .used_by = propagator,
         .rule = integer(
             1, 10'000, [](Config & c) -> auto& { return c.propagator.load.connections_max; }),
         .help = "Requests under way at one time in a load run (--connections)."},
        {.name = "LOAD_REPORT",
         .yaml_path = "propagator.load.report",
         .default_note = "none",
         .used_by = propagator,
         .rule = text(
             "path of a .json or .csv file", Shown::plain, check_report_file,
             [](Config & c) -> auto& { return c.propagator.load.report_file; }),
         .help = "Where the load run writes its report (--report)."},
    };
}

}  // namespace

std::vector<Option> propagator_options()
{
    std::vector<Option> table;
    for (auto rows : {stream_options, payload_options, send_options, load_options}) {
        auto part = rows();
        table.insert(table.end(), std::make_move_iterator(part.begin()), std::make_move_iterator(part.end()));
    }
    return table;
}

}  // namespace infra::config
