// The bare HTTP sink: takes every POST and answers 200. `bench-sink PORT`, until SIGTERM.
#include "infra/http/server.hpp"
#include "infra/signals.hpp"

#include <cstdint>
#include <cstdlib>

int main(int argc, char** argv)
{
    if (argc != 2) return 2;
    infra::block_stop_signals();
    infra::http::Router router;
    router.add("POST", "/sink", [](infra::http::Request&&, const infra::http::Reply& reply) {
        infra::http::Response response;
        response.body = R"({"ok":true})";
        reply(std::move(response));
    });
    router.add("GET", "/sink", [](infra::http::Request&&, const infra::http::Reply& reply) { reply({}); });
    infra::http::ServerOptions options;
    options.host = "127.0.0.1";
    options.port = static_cast<std::uint16_t>(std::atoi(argv[1]));
    infra::http::Server server(options, router, {});
    server.start();
    infra::wait_for_stop_signal();
    server.drain(std::chrono::seconds(1));
    return 0;
}
