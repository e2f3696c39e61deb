#include "app/explain.hpp"
#include "domain/service_registry.hpp"
#include "infra/api/api_service.hpp"
#include "infra/cli.hpp"
#include "infra/ingest_policy.hpp"
#include "infra/log/log.hpp"
#include "infra/pg/migrator.hpp"
#include "infra/signals.hpp"
#include "infra/trace/tracer.hpp"
#include "startup.hpp"
#include "version.hpp"

#include <iostream>
#include <iterator>

namespace {

infra::CliSpec spec()
{
    return {.binary = infra::Binary::api,
            .program = "polis-api",
            .description =
                "Takes events over HTTP, stores them with their derived events and answers once they are "
                "committed.",
            .version = polis::version,
            .flags = {
                {"--migrate", "bring the schema up to date first"},
                {.name = "--explain",
                 .help = "say what would become of the payload on standard input, for this SERVICE; needs no "
                         "database",
                 .needs_config = false,
                 .has_value = true},
                {"--routes", "print every route as METHOD /path and leave", false}}};
}

void print_routes()
{
    const domain::ServiceRegistry registry;
    infra::Config config;
    config.http.host = "127.0.0.1";
    config.http.threads = 1;
    const infra::ApiService service(config, registry);
    for (const auto& route : service.router().routes())
        std::cout << route.method << ' ' << route.path << '\n';
}

// 0: it would be stored.
int explain(const infra::Config& config, const std::string& service)
{
    const std::string text{std::istreambuf_iterator<char>(std::cin), {}};
    domain::ServiceRegistry registry({config.rules.energy_threshold_kwh});
    domain::register_builtin_services(registry);
    const app::PrepareEvent prepare(registry, infra::ingest_policy(config));
    const auto explanation = app::explain(prepare, registry, service, domain::parse_json(text), {});
    std::cout << explanation.json << '\n';
    return explanation.stored ? infra::exit_fine : infra::exit_failed;
}

int run(const infra::Config& config, bool migrate)
{
    polis::raise_descriptor_limit();
    if (const auto code = polis::check_schema(config, migrate)) return *code;
    domain::ServiceRegistry registry({config.rules.energy_threshold_kwh});
    domain::register_builtin_services(registry);
    const auto tracer = infra::trace::make_tracer(
        {config.otel_endpoint, config.otel_sampled_share, "polis-api", polis::version});
    infra::ApiService service(config, registry, tracer.get());
    service.start();
    infra::log_info("listening",
                    {{"host", config.http.host}, {"port", service.port()}, {"version", polis::version}});
    infra::wait_for_stop_signal();
    infra::log_info("stopping");
    service.stop(config.drain_timeout);
    infra::log_info("stopped");
    return infra::exit_fine;
}

}  // namespace

int main(int argc, char** argv)
{
    infra::block_stop_signals();
    const auto line = infra::read_command_line(spec(), argc, argv);
    if (line.exit_code) return *line.exit_code;
    return polis::guarded("api", line.config, [&] {
        if (line.has("--routes")) {
            print_routes();
            return infra::exit_fine;
        }
        if (line.has("--explain")) return explain(line.config, line.value("--explain"));
        return run(line.config, line.has("--migrate"));
    });
}
