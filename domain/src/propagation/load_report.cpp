#include "domain/propagation/load_report.hpp"

#include "domain/json.hpp"

#include <fmt/format.h>

#include <array>
#include <chrono>
#include <iterator>
#include <utility>
#include <vector>

namespace domain::propagation {
namespace {

using Column = std::pair<std::string, std::string>;  // name and value, both as CSV and JSON write them

constexpr std::array<double, 7> percents{50, 75, 90, 95, 99, 99.9, 99.99};

std::string milliseconds(std::chrono::nanoseconds value)
{
    return fmt::format("{:.4f}", std::chrono::duration<double, std::milli>(value).count());
}

double seconds(std::chrono::nanoseconds value) { return std::chrono::duration<double>(value).count(); }

double per_second(std::uint64_t count, std::chrono::nanoseconds time)
{
    return time.count() > 0 ? static_cast<double>(count) / seconds(time) : 0;
}

double cpu_share(const LoadRun& run)
{
    return run.elapsed.count() > 0 ? seconds(run.cpu) / seconds(run.elapsed) : 0;
}

std::vector<Column> columns_of(const LatencyHistogram& histogram)
{
    std::vector<Column> columns{{"min", milliseconds(histogram.min())},
                                {"mean", milliseconds(histogram.mean())}};
    for (const double percent : percents)
        columns.emplace_back(fmt::format("p{}", percent), milliseconds(histogram.percentile(percent)));
    columns.emplace_back("max", milliseconds(histogram.max()));
    return columns;
}

std::vector<Column> columns_of(const LoadRun& run, const LoadRecorder& recorder)
{
    return {{"rate", fmt::format("{}", run.rate)},
            {"duration_seconds", fmt::format("{}", seconds(run.duration))},
            {"elapsed_seconds", fmt::format("{:.3f}", seconds(run.elapsed))},
            {"intended", fmt::format("{}", run.intended)},
            {"sent", fmt::format("{}", run.sent)},
            {"completed", fmt::format("{}", recorder.completed())},
            {"succeeded", fmt::format("{}", recorder.succeeded())},
            {"failed", fmt::format("{}", recorder.completed() - recorder.succeeded())},
            {"throughput", fmt::format("{:.1f}", per_second(recorder.succeeded(), run.elapsed))},
            {"cpu_seconds", fmt::format("{:.3f}", seconds(run.cpu))},
            {"cpu_share", fmt::format("{:.3f}", cpu_share(run))}};
}

std::string json_object(const std::vector<Column>& columns)
{
    std::string text;
    for (const auto& [name, value] : columns)
        fmt::format_to(std::back_inserter(text), "{}\"{}\":{}", text.empty() ? "" : ",", name, value);
    return "{" + text + "}";
}

}  // namespace

void LoadRecorder::record(const LoadSample& sample)
{
    latency_.record(sample.ended - sample.intended);
    service_.record(sample.ended - sample.started);
    delay_.record(sample.started - sample.intended);
    if (!is_failure(sample.result)) ++succeeded_;
    if (sample.result.status != 0) {
        ++statuses_[sample.result.status];
        return;
    }
    const std::string_view error = sample.result.error;
    const auto at = errors_.find(error);
    if (at != errors_.end()) {
        ++at->second;
    } else {
        errors_.emplace(error, 1);
    }
}

std::string report_json(const LoadRun& run, const LoadRecorder& recorder)
{
    std::vector<Column> statuses;
    for (const auto& [status, count] : recorder.statuses())
        statuses.emplace_back(fmt::format("{}", status), fmt::format("{}", count));
    std::string errors;
    for (const auto& [error, count] : recorder.errors())
        fmt::format_to(std::back_inserter(errors), "{}{}:{}", errors.empty() ? "" : ",", json_string(error),
                       count);
    std::string head = json_object(columns_of(run, recorder));
    head.pop_back();
    return fmt::format(
        "{},\"target\":{},\"statuses\":{},\"errors\":{{{}}},\"latency_ms\":{},\"service_time_ms\":{},"
        "\"start_delay_ms\":{}}}\n",
        head, json_string(run.target), json_object(statuses), errors,
        json_object(columns_of(recorder.latency())), json_object(columns_of(recorder.service_time())),
        json_object(columns_of(recorder.start_delay())));
}

std::string report_csv(const LoadRun& run, const LoadRecorder& recorder)
{
    std::string names = "target";
    std::string values = json_string(run.target);
    const auto append = [&](const std::vector<Column>& columns, std::string_view prefix) {
        for (const auto& [name, value] : columns) {
            fmt::format_to(std::back_inserter(names), ",{}{}", prefix, name);
            values.append(",").append(value);
        }
    };
    append(columns_of(run, recorder), "");
    append(columns_of(recorder.latency()), "latency_ms_");
    append(columns_of(recorder.service_time()), "service_time_ms_");
    append(columns_of(recorder.start_delay()), "start_delay_ms_");
    return names + '\n' + values + '\n';
}

std::string report_text(const LoadRun& run, const LoadRecorder& recorder)
{
    std::string text = fmt::format("target {}\n", run.target);
    for (const auto& [name, value] : columns_of(run, recorder))
        fmt::format_to(std::back_inserter(text), "  {:<18}{}\n", name, value);
    for (const auto& [status, count] : recorder.statuses())
        fmt::format_to(std::back_inserter(text), "  status {:<11}{}\n", status, count);
    for (const auto& [error, count] : recorder.errors())
        fmt::format_to(std::back_inserter(text), "  {}: {}\n", error, count);
    text += "latency from the intended send time, ms\n";
    for (const auto& [name, value] : columns_of(recorder.latency()))
        fmt::format_to(std::back_inserter(text), "  {:<18}{}\n", name, value);
    return text;
}

}  // namespace domain::propagation
