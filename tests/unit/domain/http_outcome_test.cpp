#include "domain/http_outcome.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <optional>
#include <string>

TEST_SUITE("domain/http_outcome")
{
    using domain::Verdict;
    using std::chrono::hours;
    using std::chrono::seconds;

    TEST_CASE("every status has one verdict and a text for operators")
    {
        struct Row {
            unsigned status;
            Verdict verdict;
            std::string error;
        };
        const Row rows[] = {
            {200, Verdict::delivered, ""},        {201, Verdict::delivered, ""},
            {202, Verdict::delivered, ""},        {204, Verdict::delivered, ""},
            {299, Verdict::delivered, ""},        {300, Verdict::rejected, "HTTP 300"},
            {301, Verdict::rejected, "HTTP 301"}, {304, Verdict::rejected, "HTTP 304"},
            {308, Verdict::rejected, "HTTP 308"}, {400, Verdict::rejected, "HTTP 400"},
            {401, Verdict::rejected, "HTTP 401"}, {404, Verdict::rejected, "HTTP 404"},
            {407, Verdict::rejected, "HTTP 407"}, {408, Verdict::retry, "HTTP 408"},
            {409, Verdict::rejected, "HTTP 409"}, {410, Verdict::gone, "HTTP 410"},
            {413, Verdict::rejected, "HTTP 413"}, {422, Verdict::rejected, "HTTP 422"},
            {428, Verdict::rejected, "HTTP 428"}, {429, Verdict::retry, "HTTP 429"},
            {430, Verdict::rejected, "HTTP 430"}, {499, Verdict::rejected, "HTTP 499"},
            {500, Verdict::retry, "HTTP 500"},    {501, Verdict::retry, "HTTP 501"},
            {503, Verdict::retry, "HTTP 503"},    {599, Verdict::retry, "HTTP 599"},
            {600, Verdict::rejected, "HTTP 600"}, {199, Verdict::rejected, "HTTP 199"},
            {0, Verdict::rejected, "HTTP 0"},
        };
        for (const Row& row : rows) {
            CAPTURE(row.status);
            const domain::DeliveryOutcome outcome = domain::classify_http_status(row.status, std::nullopt);
            CHECK(outcome.verdict == row.verdict);
            CHECK(outcome.error == row.error);
            CHECK_FALSE(outcome.retry_after);
        }
    }

    TEST_CASE("Retry-After is kept for retries only, and within its limits")
    {
        struct Row {
            unsigned status;
            seconds asked;
            std::optional<seconds> kept;
        };
        const Row rows[] = {
            {503, seconds{7}, seconds{7}},   {429, seconds{0}, seconds{0}},
            {408, hours{1}, hours{1}},       {503, hours{1} + seconds{1}, hours{1}},
            {503, seconds::max(), hours{1}}, {503, seconds{-5}, seconds{0}},
            {200, seconds{7}, std::nullopt}, {301, seconds{7}, std::nullopt},
            {404, seconds{7}, std::nullopt}, {410, seconds{7}, std::nullopt},
        };
        for (const Row& row : rows) {
            CAPTURE(row.status);
            CAPTURE(row.asked.count());
            CHECK(domain::classify_http_status(row.status, row.asked).retry_after == row.kept);
        }
    }
}
