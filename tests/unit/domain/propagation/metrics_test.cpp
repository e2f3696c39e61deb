#include "domain/propagation/latency_histogram.hpp"
#include "domain/propagation/load_report.hpp"
#include "domain/propagation/send_policy.hpp"
#include "domain/propagation/window_metrics.hpp"

#include <boost/json/parse.hpp>
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

using namespace std::chrono_literals;
using namespace domain::propagation;

TEST_SUITE("domain/propagation/window_metrics")
{
    TEST_CASE("before the first sample the line says that it waits")
    {
        CHECK(metrics_line(WindowMetrics(100).summary()) == "Metrics: waiting for data …");
    }

    TEST_CASE("the line has the original's form")
    {
        WindowMetrics metrics(100);
        metrics.add({100.0, 201, false});
        CHECK(metrics_line(metrics.summary()) ==
              "HTTP metrics: jitter=100.0 ms | status=201 | fail=  0.0% | win=1/100 | total=1");
        metrics.add({-0.04, 0, true});
        CHECK(metrics_line(metrics.summary()) ==
              "HTTP metrics: jitter= 50.0 ms | status=  0 | fail= 50.0% | win=2/100 | total=2");
    }

    TEST_CASE("two failures of ten are 20 percent")
    {
        WindowMetrics metrics(100);
        for (int i = 0; i < 10; ++i) metrics.add({0, i < 2 ? 500U : 200U, i < 2});
        CHECK(metrics.summary().failed_percent == doctest::Approx(20));
    }

    TEST_CASE("the window keeps the newest samples and the total all of them")
    {
        WindowMetrics metrics(5);
        for (unsigned i = 1; i <= 10; ++i) metrics.add({static_cast<double>(i), 200 + i, i <= 5});
        const auto summary = metrics.summary();
        CHECK(summary.samples == 5);
        CHECK(summary.total == 10);
        CHECK(summary.status == 210);
        CHECK(summary.jitter_ms == doctest::Approx(8));
        CHECK(summary.failed_percent == doctest::Approx(0));
        CHECK(metrics_line(summary).find("win=5/5 | total=10") != std::string::npos);
    }
}

TEST_SUITE("domain/propagation/send_policy")
{
    TEST_CASE("no answer, 408, 429 and 5xx are tried again, other answers are final")
    {
        const SendPolicy policy;
        for (const unsigned status : {0U, 408U, 429U, 500U, 503U, 599U})
            CHECK(wait_before_retry(policy, 1, {.status = status}, 0));
        for (const unsigned status : {200U, 201U, 204U, 301U, 400U, 404U, 409U, 410U, 422U})
            CHECK_FALSE(wait_before_retry(policy, 1, {.status = status}, 0));
    }

    TEST_CASE("by default there are three tries with waits of 0.2 and 0.5 seconds")
    {
        const SendPolicy policy;
        CHECK(wait_before_retry(policy, 1, {}, 0.9) == 200ms);
        CHECK(wait_before_retry(policy, 2, {}, 0.9) == 500ms);
        CHECK_FALSE(wait_before_retry(policy, 3, {}, 0.9));
        CHECK(fixed_wait(3) == 1000ms);
        CHECK(fixed_wait(50) == 1000ms);
    }

    TEST_CASE("exponential waits lie below a limit that doubles up to its bound")
    {
        const SendPolicy policy{10, Waits::exponential, 200ms, 1000ms};
        CHECK(wait_before_retry(policy, 1, {}, 0.5) == 100ms);
        CHECK(wait_before_retry(policy, 2, {}, 0.5) == 200ms);
        CHECK(wait_before_retry(policy, 5, {}, 0.5) == 500ms);
        CHECK(wait_before_retry(policy, 5, {}, 0.0) == 0ms);
    }

    TEST_CASE("Retry-After is the least wait, within its bound; what was abandoned is final")
    {
        const SendPolicy policy;
        CHECK(wait_before_retry(policy, 1, {.status = 503, .retry_after = 7s}, 0) == 7000ms);
        CHECK(wait_before_retry(policy, 2, {.status = 503, .retry_after = 0s}, 0) == 500ms);
        CHECK(wait_before_retry(policy, 1, {.status = 429, .retry_after = 9999s}, 0) == retry_after_max);
        CHECK_FALSE(wait_before_retry(policy, 1, {.abandoned = true}, 0));
    }

    TEST_CASE("400 and above, and no answer, are failures")
    {
        CHECK(is_failure({.status = 0}));
        CHECK(is_failure({.status = 400}));
        CHECK_FALSE(is_failure({.status = 399}));
    }
}

TEST_SUITE("domain/propagation/latency_histogram")
{
    TEST_CASE("an empty one says zero")
    {
        const LatencyHistogram empty;
        CHECK(empty.count() == 0);
        CHECK(empty.percentile(99) == 0ns);
        CHECK(empty.mean() == 0ns);
        CHECK(empty.max() == 0ns);
    }

    TEST_CASE("percentiles differ from the exact ones by less than a thousandth and never flatter")
    {
        std::mt19937_64 generator(5);
        std::lognormal_distribution<double> latency(std::log(300'000.0), 2.0);
        LatencyHistogram histogram;
        std::vector<std::int64_t> values;
        for (int i = 0; i < 100'000; ++i) {
            values.push_back(static_cast<std::int64_t>(latency(generator)));
            histogram.record(std::chrono::nanoseconds(values.back()));
        }
        std::sort(values.begin(), values.end());
        for (const double percent : {0.0, 1.0, 50.0, 90.0, 99.0, 99.9, 99.99, 100.0}) {
            CAPTURE(percent);
            const auto rank = std::max(1.0, std::ceil(percent / 100 * static_cast<double>(values.size())));
            const auto exact = static_cast<double>(values[static_cast<std::size_t>(rank) - 1]);
            const auto got = static_cast<double>(histogram.percentile(percent).count());
            CHECK(got >= exact);
            CHECK(got <= exact * 1.001);
        }
        CHECK(histogram.min().count() == values.front());
        CHECK(histogram.max().count() == values.back());
    }

    TEST_CASE("every value has a bucket whose end is not below it")
    {
        for (std::int64_t value = 1; value < LatencyHistogram::value_max.count(); value = value * 3 + 1) {
            for (const std::int64_t near : {value - 1, value, value + 1}) {
                LatencyHistogram histogram;
                histogram.record(std::chrono::nanoseconds(near));
                histogram.record(LatencyHistogram::value_max);
                const auto got = histogram.percentile(50).count();
                REQUIRE(got >= near);
                REQUIRE(got <= near + near / 1024 + 1);
            }
        }
    }

    TEST_CASE("values out of range count as its ends")
    {
        LatencyHistogram histogram;
        histogram.record(-5ns);
        histogram.record(std::chrono::hours{1000});
        CHECK(histogram.min() == 0ns);
        CHECK(histogram.max() == LatencyHistogram::value_max);
    }
}

TEST_SUITE("domain/propagation/load_report")
{
    LoadRecorder recorded()
    {
        LoadRecorder recorder;
        const Moment at{10s};
        recorder.record({at, at + 1ms, at + 3ms, {.status = 200}});
        recorder.record({at, at, at + 1ms, {.status = 503}});
        recorder.record({at, at, at + 2ms, {.error = "cut \"off\""}});
        return recorder;
    }

    const LoadRun a_run{"http://h:1", 20'000, 5s, 100'000, 100'000, 5s, 1s};

    TEST_CASE("the latency counts from the intended moment, the service time from the start")
    {
        const auto recorder = recorded();
        CHECK(recorder.completed() == 3);
        CHECK(recorder.succeeded() == 1);
        CHECK(recorder.latency().max() == 3ms);
        CHECK(recorder.service_time().max() == 2ms);
        CHECK(recorder.start_delay().max() == 1ms);
    }

    TEST_CASE("the JSON report is JSON")
    {
        const auto report = boost::json::parse(report_json(a_run, recorded()));
        CHECK(report.at("intended").as_int64() == 100'000);
        CHECK(report.at("failed").as_int64() == 2);
        CHECK(report.at("statuses").at("503").as_int64() == 1);
        CHECK(report.at("errors").at("cut \"off\"").as_int64() == 1);
        CHECK(report.at("cpu_share").to_number<double>() == doctest::Approx(0.2));
        CHECK(report.at("latency_ms").at("p99.9").to_number<double>() == doctest::Approx(3).epsilon(0.01));
    }

    TEST_CASE("the CSV report has a value for every name")
    {
        const auto text = report_csv(a_run, recorded());
        const auto line_end = text.find('\n');
        const auto names =
            std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(line_end), ',');
        const auto all = std::count(text.begin(), text.end(), ',');
        CHECK(all == 2 * names);
        CHECK(text.starts_with("target,rate,duration_seconds,"));
    }
}
