#include "domain/retry_policy.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <limits>
#include <optional>

TEST_SUITE("domain/retry_policy")
{
    using domain::RetryPolicy;
    using std::chrono::milliseconds;
    using std::chrono::seconds;
    using namespace std::chrono_literals;

    TEST_CASE("the defaults are those of the operational contract")
    {
        const RetryPolicy policy;
        CHECK(policy.attempts_max == 5);
        CHECK(policy.base == 1s);
        CHECK(policy.max == 300s);
    }

    TEST_CASE("waits are drawn from nothing to a ceiling of 1, 2, 4, ... s, at most 300 s")
    {
        struct Row {
            std::uint32_t attempts;
            milliseconds ceiling;
        };
        const Row rows[] = {
            {1, 1s},    {2, 2s},    {3, 4s},      {4, 8s},
            {5, 16s},   {8, 128s},  {9, 256s},    {10, 300s},
            {11, 300s}, {64, 300s}, {1000, 300s}, {std::numeric_limits<std::uint32_t>::max(), 300s},
        };
        for (const Row& row : rows) {
            CAPTURE(row.attempts);
            CHECK(domain::retry_wait({}, row.attempts, 0.0, std::nullopt) == 0ms);
            CHECK(domain::retry_wait({}, row.attempts, 0.5, std::nullopt) == row.ceiling / 2);
            CHECK(domain::retry_wait({}, row.attempts, 0.25, std::nullopt) == row.ceiling / 4);
            CHECK(domain::retry_wait({}, row.attempts, 1.0 - 1e-9, std::nullopt) == row.ceiling - 1ms);
        }
    }

    TEST_CASE("base and maximum are the policy's")
    {
        struct Row {
            RetryPolicy policy;
            std::uint32_t attempts;
            milliseconds half;
        };
        const Row rows[] = {
            {{5, 100ms, 1000ms}, 1, 50ms},  {{5, 100ms, 1000ms}, 2, 100ms}, {{5, 100ms, 1000ms}, 4, 400ms},
            {{5, 100ms, 1000ms}, 5, 500ms}, {{5, 100ms, 1000ms}, 9, 500ms}, {{5, 4s, 1s}, 1, 500ms},
            {{5, 0ms, 1000ms}, 3, 0ms},     {{5, 1000ms, 0ms}, 3, 0ms},
        };
        for (const Row& row : rows) {
            CAPTURE(row.attempts);
            CAPTURE(row.policy.base.count());
            CHECK(domain::retry_wait(row.policy, row.attempts, 0.5, std::nullopt) == row.half);
        }
    }

    TEST_CASE("Retry-After is the least wait, also above the policy's maximum")
    {
        struct Row {
            std::uint32_t attempts;
            double draw;
            seconds asked;
            milliseconds wait;
        };
        const Row rows[] = {
            {1, 0.5, 0s, 500ms}, {1, 0.5, 7s, 7s}, {4, 0.5, 3s, 4s},
            {4, 0.5, 4s, 4s},    {4, 0.5, 5s, 5s}, {1, 0.0, 3600s, 3600s},
        };
        for (const Row& row : rows) {
            CAPTURE(row.asked.count());
            CHECK(domain::retry_wait({}, row.attempts, row.draw, row.asked) == row.wait);
        }
    }
}
