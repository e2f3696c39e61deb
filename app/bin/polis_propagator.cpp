#include "infra/cli.hpp"
#include "infra/propagator/propagator.hpp"
#include "infra/signals.hpp"
#include "startup.hpp"
#include "version.hpp"

namespace {

infra::CliFlag with_value(std::string name, std::string help, std::string setting)
{
    return {.name = std::move(name), .help = std::move(help), .setting = std::move(setting)};
}

infra::CliSpec spec(infra::propagator::Payloads& payloads)
{
    return {
        .binary = infra::Binary::propagator,
        .program = "polis-propagator",
        .description = "Posts events from a file on an exact period, or at a rate as an open-loop load run.",
        .version = polis::version,
        .flags = {with_value("--target", "http(s) URL or kafka:TOPIC, for HTTP_POST_ENDPOINT",
                             "HTTP_POST_ENDPOINT"),
                  with_value("--payloads", "JSON file, for PAYLOAD_FILE_PATH", "PAYLOAD_FILE_PATH"),
                  with_value("--rate", "load run: requests per second", "LOAD_RATE"),
                  with_value("--duration", "load run: seconds", "LOAD_DURATION_SECONDS"),
                  with_value("--connections", "load run: requests under way at most", "LOAD_CONNECTIONS"),
                  with_value("--report", "load run: report file, *.json or *.csv", "LOAD_REPORT")},
        .check = [&payloads](const infra::Config& config) {
            return infra::propagator::load_payloads(config, payloads);
        }};
}

}  // namespace

int main(int argc, char** argv)
{
    infra::block_stop_signals();
    infra::propagator::Payloads payloads;
    auto line = infra::read_command_line(spec(payloads), argc, argv);
    if (line.exit_code) return *line.exit_code;
    return polis::guarded("propagator", line.config, [&] {
        return infra::propagator::run(line.config, std::move(payloads), polis::version);
    });
}
