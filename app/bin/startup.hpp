#pragma once

#include "infra/config/config.hpp"

#include <functional>
#include <optional>
#include <string>

namespace polis {

// Sets logging up, runs the program and turns what it could not handle into one line and exit code 1.
int guarded(const std::string& logger, const infra::Config& config, const std::function<int()>& program);

// As many descriptors as the system grants; the usual soft limit of 1,024 is less than the connections we
// take.
void raise_descriptor_limit();

// Empty when the schema is exactly this program's, after migrating it if that was asked for; else what main()
// returns, with every fault and the command that mends it on standard error.
std::optional<int> check_schema(const infra::Config& config, bool migrate);

}  // namespace polis
