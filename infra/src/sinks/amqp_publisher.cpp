#include "sinks/amqp_publisher.hpp"

#include "domain/ids.hpp"
#include "sinks/attributes.hpp"

#include <string_view>
#include <utility>
#include <vector>

namespace infra::sinks {
namespace {

constexpr std::uint8_t persistent = 2;

}  // namespace

AmqpPublisher::AmqpPublisher(const amqp::Target& target, const AmqpSinkOptions& options)
    : target_(target),
      options_(options),
      connection_(target, {options.timeout, "polis-outbox-worker", options.guard})
{
    amqp_confirm_select(connection_.state(), amqp::channel);
    amqp::check(amqp_get_rpc_reply(connection_.state()));
}

void AmqpPublisher::publish(const domain::OutboxMessage& message)
{
    // CloudEvents AMQP binding 1.0.2, 3.1.3.1: application properties with this prefix.
    std::vector<std::pair<std::string, std::string>> named = options_.headers;
    for (auto& [name, value] : cloud_attributes(message, options_.subscription))
        named.emplace_back("cloudEvents_" + std::string(name), std::move(value));
    for (auto& [name, value] : trace_headers(message)) named.emplace_back(name, std::move(value));
    std::vector<amqp_table_entry_t> headers;
    headers.reserve(named.size());
    for (const auto& [name, value] : named) headers.push_back(amqp::text_entry(name, value));

    const std::string id = domain::to_string(message.event_id);
    const auto made_at = std::chrono::floor<std::chrono::seconds>(domain::id_time(message.event_id));
    amqp_basic_properties_t properties{};
    properties._flags = AMQP_BASIC_CONTENT_TYPE_FLAG | AMQP_BASIC_HEADERS_FLAG |
                        AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_MESSAGE_ID_FLAG |
                        AMQP_BASIC_TIMESTAMP_FLAG | AMQP_BASIC_TYPE_FLAG | AMQP_BASIC_APP_ID_FLAG;
    properties.content_type = amqp::bytes_of("application/json");
    properties.headers = amqp::table_of(headers);
    properties.delivery_mode = persistent;
    properties.message_id = amqp::bytes_of(id);
    properties.timestamp = static_cast<std::uint64_t>(made_at.time_since_epoch().count());
    properties.type = amqp::bytes_of(message.topic);
    properties.app_id = amqp::bytes_of("polis");
    const auto& key = target_.routing_key.empty() ? message.topic : target_.routing_key;
    constexpr amqp_boolean_t mandatory = 1;
    constexpr amqp_boolean_t immediate = 0;  // RabbitMQ does not know it
    amqp::check(amqp_basic_publish(connection_.state(), amqp::channel, amqp::bytes_of(target_.exchange),
                                   amqp::bytes_of(key), mandatory, immediate, &properties,
                                   amqp::bytes_of(message.payload)));
}

std::optional<BrokerWord> AmqpPublisher::next()
{
    amqp_maybe_release_buffers(connection_.state());
    while (true) {
        const timeval at_once{};
        amqp_frame_t frame{};
        const int status = amqp_simple_wait_frame_noblock(connection_.state(), &frame, &at_once);
        if (status == AMQP_STATUS_TIMEOUT) return std::nullopt;
        amqp::check(status);
        if (frame.frame_type != AMQP_FRAME_METHOD) continue;
        const auto& method = frame.payload.method;
        switch (method.id) {
            case AMQP_BASIC_ACK_METHOD: {
                const auto& ack = *static_cast<const amqp_basic_ack_t*>(method.decoded);
                return BrokerWord{BrokerWord::Kind::confirmed, ack.delivery_tag, ack.multiple != 0, {}, {}};
            }
            case AMQP_BASIC_NACK_METHOD: {
                const auto& nack = *static_cast<const amqp_basic_nack_t*>(method.decoded);
                return BrokerWord{BrokerWord::Kind::refused, nack.delivery_tag, nack.multiple != 0, {}, {}};
            }
            case AMQP_BASIC_RETURN_METHOD:
                return read_returned(frame);
            case AMQP_CHANNEL_CLOSE_METHOD:
            case AMQP_CONNECTION_CLOSE_METHOD:
                throw amqp::Fault(amqp::close_reason(method));
            default:
                break;
        }
    }
}

// The message follows, whole. Only its id is of interest.
BrokerWord AmqpPublisher::read_returned(const amqp_frame_t& frame)
{
    const auto& returned = *static_cast<const amqp_basic_return_t*>(frame.payload.method.decoded);
    BrokerWord word{
        BrokerWord::Kind::returned, 0, false, {}, amqp::reason_of(returned.reply_code, returned.reply_text)};
    amqp_message_t message{};
    amqp::check(amqp_read_message(connection_.state(), frame.channel, &message, 0));
    word.message_id = amqp::text_of(message.properties.message_id);
    amqp_destroy_message(&message);
    return word;
}

}  // namespace infra::sinks
