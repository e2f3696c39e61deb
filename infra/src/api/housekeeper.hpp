#pragma once

#include "infra/config/config.hpp"
#include "infra/metrics.hpp"
#include "infra/pg/retention.hpp"

#include <condition_variable>
#include <mutex>
#include <set>
#include <string>
#include <thread>

namespace infra::api {

// Runs the retention from time to time, on a thread and a connection of its own, and tells what it did. Every
// process of the API has one; the database lets one at a time work.
class Housekeeper {
public:
    Housekeeper(const Config& config, Metrics& metrics);
    ~Housekeeper();  // stop()
    Housekeeper(const Housekeeper&) = delete;
    Housekeeper& operator=(const Housekeeper&) = delete;

    void start();
    // Waits for the transaction that is under way, no longer. Idempotent.
    void stop();

private:
    void loop();
    bool look();
    void tell(const pg::RetentionReport& report);
    bool is_stopping();

    const pg::Retention retention_;
    const Milliseconds interval_;
    Metrics& metrics_;
    std::set<std::string> blocked_;  // told already
    std::mutex mutex_;
    std::condition_variable wake_;
    bool stopping_ = false;
    std::thread thread_;
};

}  // namespace infra::api
