#pragma once

#include <soci/soci.h>

#include <string>

namespace infra::pg {

// Workflows under way, by kind and status, with the age of the oldest, in Prometheus' text format. Counted in
// the database at every look, the oldest 10,000 at most; those that have ended are not looked at.
std::string workflow_metrics(soci::session& session);

}  // namespace infra::pg
