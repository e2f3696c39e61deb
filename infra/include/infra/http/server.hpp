#pragma once

#include "infra/http/router.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace infra::http {

struct ServerOptions {
    std::string host = "127.0.0.1";
    std::uint16_t port = 0;  // 0 = any free port
    std::size_t threads = 1;
    std::size_t connections_max = 1024;
    std::size_t header_bytes_max = 16 * 1024;
    std::size_t body_bytes_max = 1024 * 1024;
    std::chrono::milliseconds read_timeout{15'000};   // for one whole request, from its first byte
    std::chrono::milliseconds idle_timeout{75'000};   // between requests of a kept connection
    std::chrono::milliseconds write_timeout{15'000};  // for one whole answer
};

// Told once for every answered request; runs on an io thread and must be quick. `route` is the template of
// the route, or "" when none matched.
using RequestObserver = std::function<void(std::string_view method, std::string_view route, unsigned status,
                                           std::chrono::nanoseconds)>;

// HTTP/1.1 server on its own io threads. `router` and `observer` must outlive it.
class Server {
public:
    // Binds at once; throws std::system_error when the address is taken or not ours.
    Server(const ServerOptions& options, const Router& router, RequestObserver observer);
    ~Server();  // drain(0)
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

    std::uint16_t port() const;
    void start();

    // Stops accepting, lets requests in progress be answered with "Connection: close", closes idle
    // connections, cuts what is left after `limit`, and returns when every io thread has ended. Idempotent.
    void drain(std::chrono::milliseconds limit);

private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace infra::http
