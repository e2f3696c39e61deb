#pragma once

#include "domain/stream.hpp"
#include "infra/config/config.hpp"

namespace infra::kafka {

// The configured routes, which load_config() has checked.
inline domain::RouteTable routes_of(const KafkaConfig& config)
{
    domain::RouteTable table;
    for (const auto& [topic, route] : config.topics)
        table.topics.emplace(topic, domain::parse_topic_route(route).value());
    table.services = config.services;
    return table;
}

}  // namespace infra::kafka
