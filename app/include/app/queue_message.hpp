#pragma once

#include "domain/stream.hpp"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace app {

// What a broker of queues (AMQP 0-9-1) delivers.
struct QueueDelivery {
    std::uint64_t tag = 0;  // its number on the connection, from 1
    std::string body;
    std::string message_id = {};  // a property, like the content type; empty = none
    std::string content_type = {};
    std::vector<std::pair<std::string, std::string>> headers = {};
};

// The delivery as a message of a stream, so that both take one way: the queue is a topic of one partition,
// the tag the offset, properties are headers, and a CloudEvent's attributes have Kafka's names for them. One
// without an id is known by what it says, since a broker that was not told in time delivers it again.
domain::StreamMessage to_stream_message(const std::string& queue, QueueDelivery delivery);

// A number of the message that stays when it is delivered again, as the tag does not.
std::int64_t stable_offset(const domain::StreamMessage& message);

}  // namespace app
