#pragma once

#include "domain/outbox.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace infra::sinks {

struct Attribute {
    std::string_view name;
    std::string value;
};

// The attributes of the CloudEvent that a message is, without its data. `subscription` may be empty.
std::vector<Attribute> cloud_attributes(const domain::OutboxMessage& message,
                                        const std::string& subscription);

// The W3C Trace Context that the message's event came with, if any; never with a prefix.
std::vector<Attribute> trace_headers(const domain::OutboxMessage& message);

}  // namespace infra::sinks
