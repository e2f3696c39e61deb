#pragma once

#include "infra/metrics.hpp"

#include <soci/soci.h>

#include <vector>

namespace infra::pg {

// Every subscription's backlog, by name. Its cost does not grow with the backlog: at most 10,000 messages of
// each lane are counted, and of each lane only the first is looked at for its age.
std::vector<SubscriptionLag> read_lag(soci::session& session);

}  // namespace infra::pg
