#include "app/queue_message.hpp"

#include "domain/ids.hpp"

#include <cstring>
#include <string_view>

namespace app {
namespace {

// CloudEvents AMQP binding 1.0.2, 3.1.3.1: either mark follows the prefix.
constexpr std::string_view cloud_prefix = "cloudEvents";

bool is_cloud_attribute(std::string_view name)
{
    if (name.size() <= cloud_prefix.size() || !name.starts_with(cloud_prefix)) return false;
    const char mark = name[cloud_prefix.size()];
    return mark == ':' || mark == '_';
}

}  // namespace

domain::StreamMessage to_stream_message(const std::string& queue, QueueDelivery delivery)
{
    domain::StreamMessage message{{queue, 0}, static_cast<std::int64_t>(delivery.tag)};
    for (auto& [name, value] : delivery.headers) {
        if (is_cloud_attribute(name)) name = "ce_" + name.substr(cloud_prefix.size() + 1);
        message.headers.emplace_back(std::move(name), std::move(value));
    }
    if (delivery.message_id.empty())
        delivery.message_id = domain::to_string(domain::key_digest(queue, delivery.body));
    message.headers.emplace_back("message-id", std::move(delivery.message_id));
    if (!delivery.content_type.empty())
        message.headers.emplace_back("content-type", std::move(delivery.content_type));
    message.value = std::move(delivery.body);
    return message;
}

std::int64_t stable_offset(const domain::StreamMessage& message)
{
    const auto digest = domain::key_digest(message.header("message-id"), message.value.value_or(""));
    std::uint64_t number = 0;
    static_assert(sizeof digest >= sizeof number);
    std::memcpy(&number, &digest, sizeof number);
    return static_cast<std::int64_t>(number >> 1U);
}

}  // namespace app
