#pragma once

#include "config/settings.hpp"
#include "infra/config/load.hpp"

#include <string>
#include <vector>

// What one option's own rule cannot see: rules between options, and parts of the file with a form of their
// own. Each returns the faults it found, ready to be shown.
namespace infra::config {

// Gives every stream what the file left to the options of all streams.
std::vector<std::string> complete_streams(PropagatorConfig& sender, const KafkaConfig& kafka);

std::vector<std::string> subscription_faults(const YamlSubscription& given);

std::vector<std::string> combination_faults(Binary binary, const Config& config);

}  // namespace infra::config
