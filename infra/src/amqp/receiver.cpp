#include "amqp/receiver.hpp"

namespace infra::amqp {
namespace {

using Clock = std::chrono::steady_clock;

// Delivered and not acknowledged: enough for some transactions' worth, so that the next one is read while one
// is being committed.
constexpr std::uint16_t prefetch_messages = 1'000;

struct EnvelopeGuard {
    amqp_envelope_t& envelope;
    explicit EnvelopeGuard(amqp_envelope_t& held) : envelope(held) {}
    ~EnvelopeGuard() { amqp_destroy_envelope(&envelope); }
    EnvelopeGuard(const EnvelopeGuard&) = delete;
    EnvelopeGuard& operator=(const EnvelopeGuard&) = delete;
};

// Those that are text: all that we send and read is.
void read_headers(const amqp_table_t& table, app::QueueDelivery& delivery)
{
    for (int i = 0; i < table.num_entries; ++i) {
        const auto& entry = table.entries[i];
        const bool is_text =
            entry.value.kind == AMQP_FIELD_KIND_UTF8 || entry.value.kind == AMQP_FIELD_KIND_BYTES;
        if (is_text) delivery.headers.emplace_back(text_of(entry.key), text_of(entry.value.value.bytes));
    }
}

app::QueueDelivery to_delivery(const amqp_envelope_t& envelope)
{
    app::QueueDelivery delivery{envelope.delivery_tag, text_of(envelope.message.body)};
    const auto& properties = envelope.message.properties;
    const auto has = [&properties](amqp_flags_t flag) { return (properties._flags & flag) != 0; };
    if (has(AMQP_BASIC_MESSAGE_ID_FLAG)) delivery.message_id = text_of(properties.message_id);
    if (has(AMQP_BASIC_CONTENT_TYPE_FLAG)) delivery.content_type = text_of(properties.content_type);
    if (has(AMQP_BASIC_HEADERS_FLAG)) read_headers(properties.headers, delivery);
    return delivery;
}

}  // namespace

Receiver::Receiver(const Target& target, const ConnectOptions& options) : connection_(target, options)
{
    constexpr std::uint32_t any_bytes = 0;  // RabbitMQ does not know the limit
    constexpr amqp_boolean_t of_the_consumer = 0;
    constexpr amqp_boolean_t no_local = 0;
    constexpr amqp_boolean_t no_ack = 0;
    constexpr amqp_boolean_t exclusive = 0;
    amqp_basic_qos(connection_.state(), channel, any_bytes, prefetch_messages, of_the_consumer);
    check(amqp_get_rpc_reply(connection_.state()));
    amqp_basic_consume(connection_.state(), channel, bytes_of(target.queue), amqp_empty_bytes, no_local,
                       no_ack, exclusive, amqp_empty_table);
    check(amqp_get_rpc_reply(connection_.state()));
}

std::optional<app::QueueDelivery> Receiver::next(std::chrono::milliseconds wait)
{
    amqp_maybe_release_buffers(connection_.state());
    const timeval limit = timeval_of(wait);
    amqp_envelope_t envelope{};
    const auto reply = amqp_consume_message(connection_.state(), &envelope, &limit, 0);
    if (reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION) {
        if (reply.library_error == AMQP_STATUS_TIMEOUT) return std::nullopt;
        if (reply.library_error == AMQP_STATUS_UNEXPECTED_STATE) {
            read_other_frame();
            return std::nullopt;
        }
    }
    check(reply);
    const EnvelopeGuard guard(envelope);
    return to_delivery(envelope);
}

// Something else than a delivery came first.
void Receiver::read_other_frame()
{
    const timeval at_once{};
    amqp_frame_t frame{};
    const int status = amqp_simple_wait_frame_noblock(connection_.state(), &frame, &at_once);
    if (status == AMQP_STATUS_TIMEOUT) return;
    check(status);
    if (frame.frame_type != AMQP_FRAME_METHOD) return;
    const auto& method = frame.payload.method;
    if (method.id == AMQP_BASIC_CANCEL_METHOD) throw Fault("the broker ended the consumption: no such queue");
    if (method.id == AMQP_CHANNEL_CLOSE_METHOD || method.id == AMQP_CONNECTION_CLOSE_METHOD)
        throw Fault(close_reason(method));
}

void Receiver::beat()
{
    if (Clock::now() < beat_at_) return;
    beat_at_ = Clock::now() + beat_interval;
    amqp_frame_t frame{};
    frame.frame_type = AMQP_FRAME_HEARTBEAT;
    check(amqp_send_frame(connection_.state(), &frame));
}

void Receiver::acknowledge(std::uint64_t tag)
{
    constexpr amqp_boolean_t multiple = 1;
    check(amqp_basic_ack(connection_.state(), channel, tag, multiple));
}

}  // namespace infra::amqp
