#pragma once

#include "domain/ids.hpp"

#include <soci/soci.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace infra::pg {

struct TaskFilter {
    std::int64_t limit = 100;
    std::string status = {};  // empty = any
    std::optional<domain::Uuid> older_than = {};
};

// Tasks as a JSON array, newest first, without their service requests.
struct TaskPage {
    std::string json;
    std::string next = {};  // the cursor of what follows; empty = this may be all
};
TaskPage read_tasks(soci::session& session, const TaskFilter& filter);

// With its service requests; empty when there is none.
std::optional<std::string> read_task(soci::session& session, const std::string& task_id);

// {"task_id","status","results","errors"} of those that have ended, by their ids.
std::map<std::string, std::string> read_task_results(soci::session& session,
                                                     const std::vector<std::string>& task_ids);

}  // namespace infra::pg
