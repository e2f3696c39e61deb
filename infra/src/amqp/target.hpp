#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace infra::amqp {

// amqp[s]://[user[:password]@]host[:port][/vhost][?exchange=NAME&routing_key=KEY], or with ?queue=NAME
struct Target {
    bool tls = false;
    std::string host;
    std::uint16_t port = 0;
    std::string user = "guest";
    std::string password = "guest";
    std::string vhost = "/";
    std::string exchange = "amq.topic";  // every broker has it; empty = the default exchange
    std::string routing_key = {};        // empty = the message's topic
    // A durable queue that is made where there is none, by way of the default exchange. Empty = none.
    std::string queue = {};
};

std::optional<Target> parse_url(std::string_view url);

}  // namespace infra::amqp
