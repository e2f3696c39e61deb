#pragma once

#include "infra/config/config.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace infra {

class Metrics;

// GET /metrics, /healthz and /readyz of a program that is not the API, on the admin port. Built = listening;
// any thread may destroy it, which drains. What it is given must outlive it.
class AdminService {
public:
    using Ready = std::function<bool()>;                         // asked on an io thread
    using NotReady = std::function<std::vector<std::string>()>;  // the reasons; asked on an io thread
    using MetricsText = std::function<std::string()>;            // the same

    // Of a program with the outbox's database. Throws when the port cannot be had.
    AdminService(const Config& config, Metrics& metrics, Ready ready);
    // Of a program without a database. `text` is in the exposition format 0.0.4.
    AdminService(const Config& config, MetricsText text, Ready ready);
    AdminService(const Config& config, Metrics& metrics, NotReady not_ready);
    ~AdminService();
    AdminService(const AdminService&) = delete;
    AdminService& operator=(const AdminService&) = delete;

    std::uint16_t port() const;

private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace infra
