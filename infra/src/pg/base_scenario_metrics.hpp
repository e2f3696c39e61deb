#pragma once

#include <soci/soci.h>

#include <string>

namespace infra::pg {

// The eight metrics of the orchestrator 000, in Prometheus' text format. They are counted in the database at
// every look: so they survive restarts, count messages and not tries, and are the same in every program.
std::string base_scenario_metrics(soci::session& session);

}  // namespace infra::pg
