#include "app/deliver_outbox.hpp"
#include "infra/api/admin_service.hpp"
#include "infra/cli.hpp"
#include "infra/log/log.hpp"
#include "infra/metrics.hpp"
#include "infra/pg/outbox_store.hpp"
#include "infra/signals.hpp"
#include "infra/sinks/sinks.hpp"
#include "startup.hpp"
#include "version.hpp"

#include <csignal>
#include <optional>
#include <random>
#include <thread>

namespace {

infra::CliSpec spec()
{
    return {
        .binary = infra::Binary::worker,
        .program = "polis-outbox-worker",
        .description =
            "Delivers the messages of the outbox, with retries, in order per key. Run as many as you like.",
        .version = polis::version,
        .flags = {{"--drain", "deliver until nothing is due, then leave"},
                  {"--migrate", "bring the schema up to date first"}}};
}

std::string_view name_of(domain::Verdict verdict)
{
    switch (verdict) {
        case domain::Verdict::delivered:
            return "delivered";
        case domain::Verdict::retry:
            return "retry";
        case domain::Verdict::rejected:
            return "rejected";
        case domain::Verdict::gone:
            return "gone";
        case domain::Verdict::abandoned:
            return "abandoned";
    }
    return "";
}

app::DeliveryOptions options_of(const infra::Config& config, bool drain)
{
    app::DeliveryOptions options;
    options.retry = {config.outbox.attempts_max, config.outbox.retry_base, config.outbox.retry_max};
    options.limits.window_rows_max = config.outbox.batch_rows_max;
    options.in_flight_max = config.outbox.in_flight_max;
    options.poll_interval = config.outbox.poll_interval;
    options.drain_timeout = config.drain_timeout;
    options.until_empty = drain;
    return options;
}

double random_fraction()
{
    static std::mt19937_64 generator{std::random_device{}()};
    return std::uniform_real_distribution<double>(0.0, 1.0)(generator);
}

int run(const infra::Config& config, bool drain, bool migrate)
{
    if (const auto code = polis::check_schema(config, migrate)) return *code;
    infra::Metrics metrics;
    const auto store =
        infra::pg::make_outbox_store(config.database.url, "default",
                                     drain ? infra::pg::LaneShare::everything : infra::pg::LaneShare::fair);
    const auto sink = infra::make_sink(config.outbox);
    app::DeliverOutbox delivery(
        *store, *sink, options_of(config, drain), random_fraction,
        [&metrics](domain::Verdict verdict) { metrics.delivery(name_of(verdict)); },
        [](std::string_view reason) {
            infra::log_error("delivery interrupted", {{"reason", reason}});
        });
    std::optional<infra::AdminService> admin;
    if (!config.admin.disabled && !drain) {
        admin.emplace(config, metrics, [&delivery] { return delivery.healthy(); });
        infra::log_info("listening",
                        {{"host", config.http.host}, {"port", admin->port()}, {"version", polis::version}});
    }
    const infra::pg::OutboxListener listener(config.database.url, [&delivery] { delivery.wake(); });
    std::thread signals([&delivery] {
        infra::wait_for_stop_signal();
        infra::log_info("stopping");
        delivery.stop();
    });
    delivery.run();
    // When it was the drain that ended. The signal is blocked, and that thread waits for it: it kills
    // nothing.
    pthread_kill(signals.native_handle(), SIGTERM);  // NOLINT(bugprone-bad-signal-to-kill-thread)
    signals.join();
    infra::log_info("stopped");
    return infra::exit_fine;
}

}  // namespace

int main(int argc, char** argv)
{
    infra::block_stop_signals();
    const auto line = infra::read_command_line(spec(), argc, argv);
    if (line.exit_code) return *line.exit_code;
    return polis::guarded("outbox-worker", line.config,
                          [&] { return run(line.config, line.has("--drain"), line.has("--migrate")); });
}
