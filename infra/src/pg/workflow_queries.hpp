#pragma once

#include "domain/workflow/batch.hpp"

#include <boost/json/array.hpp>
#include <soci/soci.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

// What people see of workflows.
namespace infra::pg {

struct InstanceFilter {
    std::string workflow = {};  // empty = any
    std::string status = {};
    std::string after = {};  // the id of the last one's first event
};

// Newest first, without steps.
std::vector<domain::workflow::Instance> read_instances(soci::session& session, const InstanceFilter& filter,
                                                       std::int64_t rows_max);

// Ids are unique in a workflow; without its name the newest instance of that id is meant.
std::optional<domain::workflow::Instance> read_instance(soci::session& session, const std::string& workflow,
                                                        const std::string& id);

// Newest first.
boost::json::array read_history(soci::session& session, const domain::workflow::InstanceKey& key,
                                std::int64_t rows_max);

}  // namespace infra::pg
