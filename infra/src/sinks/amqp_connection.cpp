#include "sinks/amqp_connection.hpp"

#include "domain/ids.hpp"
#include "net/addresses.hpp"
#include "sinks/attributes.hpp"

#include <openssl/ssl.h>

#include <algorithm>
#include <amqp_framing.h>
#include <amqp_ssl_socket.h>
#include <amqp_tcp_socket.h>
#include <array>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string_view>
#include <sys/socket.h>
#include <utility>
#include <vector>

namespace infra::sinks {
namespace {

constexpr amqp_channel_t channel = 1;
constexpr int channels_max = 1;
constexpr int frame_bytes_max = 131'072;
// Of either side; two that are missed end the connection.
constexpr int heartbeat_seconds = 10;
constexpr std::uint8_t persistent = 2;
constexpr std::size_t reason_chars_max = 200;

timeval timeval_of(std::chrono::milliseconds time)
{
    return {.tv_sec = time.count() / 1000, .tv_usec = time.count() % 1000 * 1000};
}

// Valid for as long as the text.
amqp_bytes_t bytes_of(std::string_view text) { return {text.size(), const_cast<char*>(text.data())}; }

std::string text_of(amqp_bytes_t bytes) { return {static_cast<const char*>(bytes.bytes), bytes.len}; }

// The broker's words are foreign text.
std::string reason_of(unsigned code, amqp_bytes_t text)
{
    std::string reason = text_of(text).substr(0, reason_chars_max);
    std::replace_if(
        reason.begin(), reason.end(), [](char c) { return c < 0x20 || c > 0x7E; }, '?');
    const std::string number = std::to_string(code);
    return reason.starts_with(number) ? reason : number + " " + reason;
}

std::string close_reason(const amqp_method_t& method)
{
    if (method.id == AMQP_CHANNEL_CLOSE_METHOD) {
        const auto& close = *static_cast<const amqp_channel_close_t*>(method.decoded);
        return reason_of(close.reply_code, close.reply_text);
    }
    if (method.id == AMQP_CONNECTION_CLOSE_METHOD) {
        const auto& close = *static_cast<const amqp_connection_close_t*>(method.decoded);
        return reason_of(close.reply_code, close.reply_text);
    }
    return "the broker said something unexpected";
}

void check(int status)
{
    if (status < 0) throw AmqpFault(amqp_error_string2(status));
}

void check(const amqp_rpc_reply_t& reply)
{
    switch (reply.reply_type) {
        case AMQP_RESPONSE_NORMAL:
            return;
        case AMQP_RESPONSE_LIBRARY_EXCEPTION:
            throw AmqpFault(amqp_error_string2(reply.library_error));
        case AMQP_RESPONSE_SERVER_EXCEPTION:
            throw AmqpFault(close_reason(reply.reply));
        case AMQP_RESPONSE_NONE:
            break;
    }
    throw AmqpFault("the broker did not answer");
}

amqp_table_entry_t text_entry(std::string_view key, std::string_view value)
{
    amqp_table_entry_t entry{};
    entry.key = bytes_of(key);
    entry.value.kind = AMQP_FIELD_KIND_UTF8;
    entry.value.value.bytes = bytes_of(value);
    return entry;
}

amqp_table_entry_t true_entry(std::string_view key)
{
    amqp_table_entry_t entry{};
    entry.key = bytes_of(key);
    entry.value.kind = AMQP_FIELD_KIND_BOOLEAN;
    entry.value.value.boolean = 1;
    return entry;
}

amqp_table_t table_of(std::vector<amqp_table_entry_t>& entries)
{
    return {static_cast<int>(entries.size()), entries.data()};
}

}  // namespace

AmqpConnection::AmqpConnection(const AmqpTarget& target, const AmqpSinkOptions& options)
    : target_(target), options_(options), state_(amqp_new_connection())
{
    if (!state_) throw std::bad_alloc();
    const timeval limit = timeval_of(options_.timeout);
    check(amqp_set_handshake_timeout(state_.get(), &limit));
    check(amqp_set_rpc_timeout(state_.get(), &limit));
    open_socket();
    login();
    amqp_channel_open(state_.get(), channel);
    check(amqp_get_rpc_reply(state_.get()));
    amqp_confirm_select(state_.get(), channel);
    check(amqp_get_rpc_reply(state_.get()));
}

AmqpConnection::~AmqpConnection() = default;

void AmqpConnection::open_socket()
{
    std::string host = target_.host;
    // The address that is checked is the one that is connected to: no second look-up lies in between.
    if (options_.guard) {
        auto address = net::permitted_address(host, *options_.guard);
        if (!address) throw AmqpFault("the destination's address is not allowed");
        host = *std::move(address);
    }
    amqp_socket_t* const socket =
        target_.tls ? amqp_ssl_socket_new(state_.get()) : amqp_tcp_socket_new(state_.get());
    if (socket == nullptr) throw std::bad_alloc();
    if (target_.tls) {
        auto* const context = static_cast<SSL_CTX*>(amqp_ssl_socket_get_context(socket));
        if (SSL_CTX_set_default_verify_paths(context) != 1) throw AmqpFault("no trust store can be read");
        amqp_ssl_socket_set_verify_peer(socket, 1);
        amqp_ssl_socket_set_verify_hostname(socket, 1);
        check(amqp_ssl_socket_set_ssl_versions(socket, AMQP_TLSv1_2, AMQP_TLSvLATEST));
    }
    const timeval limit = timeval_of(options_.timeout);
    check(amqp_socket_open_noblock(socket, host.c_str(), target_.port, &limit));
    // A broker that hangs, or takes no bytes because its memory is full, must not hold the thread for ever.
    const auto patience = static_cast<unsigned>(options_.timeout.count());
    setsockopt(amqp_get_sockfd(state_.get()), IPPROTO_TCP, TCP_USER_TIMEOUT, &patience, sizeof patience);
}

void AmqpConnection::login()
{
    std::vector<amqp_table_entry_t> abilities{true_entry("basic.nack"), true_entry("publisher_confirms")};
    std::vector<amqp_table_entry_t> properties{text_entry("product", "polis"),
                                               text_entry("connection_name", "polis-outbox-worker")};
    amqp_table_entry_t entry{};
    entry.key = bytes_of("capabilities");
    entry.value.kind = AMQP_FIELD_KIND_TABLE;
    entry.value.value.table = table_of(abilities);
    properties.push_back(entry);
    const amqp_table_t table = table_of(properties);
    check(amqp_login_with_properties(state_.get(), target_.vhost.c_str(), channels_max, frame_bytes_max,
                                     heartbeat_seconds, &table, AMQP_SASL_METHOD_PLAIN, target_.user.c_str(),
                                     target_.password.c_str()));
}

void AmqpConnection::publish(const domain::OutboxMessage& message)
{
    // CloudEvents AMQP binding 1.0.2, 3.1.3.1: application properties with this prefix.
    std::vector<std::pair<std::string, std::string>> named = options_.headers;
    for (auto& [name, value] : cloud_attributes(message, options_.subscription))
        named.emplace_back("cloudEvents_" + std::string(name), std::move(value));
    for (auto& [name, value] : trace_headers(message)) named.emplace_back(name, std::move(value));
    std::vector<amqp_table_entry_t> headers;
    headers.reserve(named.size());
    for (const auto& [name, value] : named) headers.push_back(text_entry(name, value));

    const std::string id = domain::to_string(message.event_id);
    const auto made_at = std::chrono::floor<std::chrono::seconds>(domain::id_time(message.event_id));
    amqp_basic_properties_t properties{};
    properties._flags = AMQP_BASIC_CONTENT_TYPE_FLAG | AMQP_BASIC_HEADERS_FLAG |
                        AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_MESSAGE_ID_FLAG |
                        AMQP_BASIC_TIMESTAMP_FLAG | AMQP_BASIC_TYPE_FLAG | AMQP_BASIC_APP_ID_FLAG;
    properties.content_type = bytes_of("application/json");
    properties.headers = table_of(headers);
    properties.delivery_mode = persistent;
    properties.message_id = bytes_of(id);
    properties.timestamp = static_cast<std::uint64_t>(made_at.time_since_epoch().count());
    properties.type = bytes_of(message.topic);
    properties.app_id = bytes_of("polis");
    const auto& key = target_.routing_key.empty() ? message.topic : target_.routing_key;
    constexpr amqp_boolean_t mandatory = 1;
    constexpr amqp_boolean_t immediate = 0;  // RabbitMQ does not know it
    check(amqp_basic_publish(state_.get(), channel, bytes_of(target_.exchange), bytes_of(key), mandatory,
                             immediate, &properties, bytes_of(message.payload)));
}

std::optional<BrokerWord> AmqpConnection::next()
{
    amqp_maybe_release_buffers(state_.get());
    while (true) {
        const timeval at_once{};
        amqp_frame_t frame{};
        const int status = amqp_simple_wait_frame_noblock(state_.get(), &frame, &at_once);
        if (status == AMQP_STATUS_TIMEOUT) return std::nullopt;
        check(status);
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
                throw AmqpFault(close_reason(method));
            default:
                break;
        }
    }
}

// The message follows, whole. Only its id is of interest.
BrokerWord AmqpConnection::read_returned(const amqp_frame_t& frame)
{
    const auto& returned = *static_cast<const amqp_basic_return_t*>(frame.payload.method.decoded);
    BrokerWord word{
        BrokerWord::Kind::returned, 0, false, {}, reason_of(returned.reply_code, returned.reply_text)};
    amqp_message_t message{};
    check(amqp_read_message(state_.get(), frame.channel, &message, 0));
    word.message_id = text_of(message.properties.message_id);
    amqp_destroy_message(&message);
    return word;
}

void AmqpConnection::close() { amqp_connection_close(state_.get(), AMQP_REPLY_SUCCESS); }

}  // namespace infra::sinks
