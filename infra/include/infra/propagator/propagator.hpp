#pragma once

#include "domain/propagation/payload_template.hpp"
#include "infra/config/config.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace infra::propagator {

// By stream, in the order of PropagatorConfig::streams.
using Payloads = std::vector<std::vector<domain::propagation::PayloadTemplate>>;

// Reads the payload files of all streams once. Returns every fault.
std::vector<std::string> load_payloads(const Config& config, Payloads& payloads);

// polis-propagator: probes, posts on its ticks, serves the admin port, and stops when told to. Returns the
// exit code. Signals must be blocked (infra/signals.hpp).
int run(const Config& config, Payloads payloads, std::string_view version);

}  // namespace infra::propagator
