#pragma once

#include "domain/service_registry.hpp"
#include "infra/config/config.hpp"
#include "infra/http/router.hpp"
#include "infra/trace/tracer.hpp"

#include <chrono>
#include <memory>

namespace infra {

// polis-api as an object: writer, query pool, routes, HTTP server.
class ApiService {
public:
    // `registry` and `tracer` must outlive it; without a tracer there are no spans. Throws when the address
    // cannot be bound.
    ApiService(const Config& config, const domain::ServiceRegistry& registry,
               trace::Tracer* tracer = nullptr);
    ~ApiService();
    ApiService(const ApiService&) = delete;
    ApiService& operator=(const ApiService&) = delete;

    void start();
    std::uint16_t port() const;
    const http::Router& router() const;

    // /readyz says no, requests in progress are answered, what is queued is committed. Idempotent.
    void stop(std::chrono::milliseconds limit);

private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace infra
