#pragma once

#include "infra/api/admin_service.hpp"
#include "infra/config/config.hpp"
#include "infra/log/log.hpp"
#include "propagator/propagator_metrics.hpp"

#include <atomic>
#include <optional>
#include <string_view>

namespace infra::propagator {

// The admin port, unless it is closed, and whether the streams are running.
class AdminPort {
public:
    // `metrics` must outlive it. Throws when the port is taken.
    AdminPort(const Config& config, const PropagatorMetrics& metrics, std::string_view version)
    {
        if (config.admin.disabled) return;
        service_.emplace(
            config, [&metrics] { return metrics.text(); }, [this] { return ready_.load(); });
        log_info("listening", {{"host", config.http.host}, {"port", service_->port()}, {"version", version}});
    }

    void set_ready(bool ready) { ready_ = ready; }

private:
    std::atomic<bool> ready_{false};
    std::optional<AdminService> service_;  // last: its thread uses the rest
};

}  // namespace infra::propagator
