#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace infra::sinks {

// amqp[s]://[user[:password]@]host[:port][/vhost][?exchange=NAME&routing_key=KEY]
struct AmqpTarget {
    bool tls = false;
    std::string host;
    std::uint16_t port = 0;
    std::string user = "guest";
    std::string password = "guest";
    std::string vhost = "/";
    std::string exchange = "amq.topic";  // every broker has it; empty = the default exchange
    std::string routing_key = {};        // empty = the message's topic
};

std::optional<AmqpTarget> parse_amqp_url(std::string_view url);

}  // namespace infra::sinks
