#include "api/housekeeper.hpp"

#include "infra/log/log.hpp"
#include "pg/connection.hpp"

#include <algorithm>

namespace infra::api {
namespace {

// A partition that somebody had a lock on is tried again after this, if the interval is longer.
constexpr auto busy_pause = std::chrono::seconds(10);

}  // namespace

Housekeeper::Housekeeper(const Config& config, Metrics& metrics)
    : retention_(config.database.url, config.retention.policy),
      interval_(config.retention.interval),
      metrics_(metrics)
{
}

Housekeeper::~Housekeeper() { stop(); }

void Housekeeper::start()
{
    thread_ = std::thread([this] { loop(); });
}

void Housekeeper::stop()
{
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    wake_.notify_all();
    if (thread_.joinable()) thread_.join();
}

bool Housekeeper::is_stopping()
{
    const std::lock_guard lock(mutex_);
    return stopping_;
}

void Housekeeper::loop()
{
    while (!is_stopping()) {
        const bool complete = look();
        std::unique_lock lock(mutex_);
        wake_.wait_for(lock, complete ? interval_ : std::min<Milliseconds>(interval_, busy_pause),
                       [this] { return stopping_; });
    }
}

// False when something is to be tried again soon.
bool Housekeeper::look()
{
    try {
        const auto report = retention_.run([this] { return is_stopping(); });
        tell(report);
        return report.busy.empty();
    } catch (const pg::SqlError& error) {
        log_warning("retention interrupted", {{"sqlstate", error.sqlstate()}, {"reason", error.what()}});
        return false;
    }
}

void Housekeeper::tell(const pg::RetentionReport& report)
{
    if (report.elsewhere) return;
    for (const auto& partition : report.dropped) log_info("partition dropped", {{"partition", partition}});
    for (const auto& partition : report.busy)
        log_info("partition busy, tried again later", {{"partition", partition}});
    if (report.outbox_began_anew) log_info("outbox began a new partition");
    std::set<std::string> blocked;
    for (const auto& [partition, subscription] : report.blocked) {
        // An operator must know why the disk fills, once for each partition.
        if (!blocked_.contains(partition))
            log_warning("partition kept for a subscription",
                        {{"partition", partition}, {"subscription", subscription}});
        blocked.insert(partition);
    }
    blocked_ = std::move(blocked);
    for (const auto& [table, rows] : report.deleted)
        log_info("rows removed", {{"table", table}, {"rows", rows}});
    metrics_.retention(report.dropped.size(), report.busy.size(), report.blocked.size());
    for (const auto& [table, rows] : report.deleted) metrics_.rows_removed(table, rows);
}

}  // namespace infra::api
