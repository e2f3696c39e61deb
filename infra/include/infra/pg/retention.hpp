#pragma once

#include "domain/retention.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace infra::pg {

// What one look at the database did.
struct RetentionReport {
    bool elsewhere = false;  // another process was at it: nothing was done
    std::vector<std::string> dropped;
    std::vector<std::string> busy;  // somebody held a lock: to be tried again
    std::vector<domain::BlockedPartition> blocked;
    bool outbox_began_anew = false;
    std::map<std::string_view, std::uint64_t> deleted;  // rows, by table
};

// Drops partitions that are over and removes rows that nobody needs. One process at a time, in short
// transactions that give way: whoever reads or writes waits for a lock at most as long as this does.
class Retention {
public:
    static constexpr std::chrono::milliseconds lock_timeout{50};

    Retention(std::string database_url, domain::RetentionPolicy policy);

    // Ends early, between two transactions, once `stopping` says so. Without `now` the database's clock
    // counts. Throws SqlError.
    RetentionReport run(const std::function<bool()>& stopping,
                        std::optional<domain::TimePoint> now = std::nullopt) const;

private:
    const std::string url_;
    const domain::RetentionPolicy policy_;
};

}  // namespace infra::pg
