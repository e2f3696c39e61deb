#include "amqp/connection.hpp"

#include "net/addresses.hpp"

#include <openssl/ssl.h>

#include <algorithm>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <utility>

namespace infra::amqp {
namespace {

constexpr int channels_max = 1;
constexpr int frame_bytes_max = 131'072;
// Of either side; two that are missed end the connection.
constexpr int heartbeat_seconds = 10;
constexpr std::size_t reason_chars_max = 200;

amqp_table_entry_t true_entry(std::string_view key)
{
    amqp_table_entry_t entry{};
    entry.key = bytes_of(key);
    entry.value.kind = AMQP_FIELD_KIND_BOOLEAN;
    entry.value.value.boolean = 1;
    return entry;
}

}  // namespace

Connection::Connection(const Target& target, const ConnectOptions& options) : state_(amqp_new_connection())
{
    if (!state_) throw std::bad_alloc();
    const timeval limit = timeval_of(options.timeout);
    check(amqp_set_handshake_timeout(state_.get(), &limit));
    check(amqp_set_rpc_timeout(state_.get(), &limit));
    open_socket(target, options);
    login(target, options.name);
    amqp_channel_open(state_.get(), channel);
    check(amqp_get_rpc_reply(state_.get()));
    if (!target.queue.empty()) declare(target.queue);
}

void Connection::open_socket(const Target& target, const ConnectOptions& options)
{
    std::string host = target.host;
    // The address that is checked is the one that is connected to: no second look-up lies in between.
    if (options.guard) {
        auto address = net::permitted_address(host, *options.guard);
        if (!address) throw Fault("the destination's address is not allowed");
        host = *std::move(address);
    }
    amqp_socket_t* const socket =
        target.tls ? amqp_ssl_socket_new(state_.get()) : amqp_tcp_socket_new(state_.get());
    if (socket == nullptr) throw std::bad_alloc();
    if (target.tls) {
        auto* const context = static_cast<SSL_CTX*>(amqp_ssl_socket_get_context(socket));
        if (SSL_CTX_set_default_verify_paths(context) != 1) throw Fault("no trust store can be read");
        amqp_ssl_socket_set_verify_peer(socket, 1);
        amqp_ssl_socket_set_verify_hostname(socket, 1);
        check(amqp_ssl_socket_set_ssl_versions(socket, AMQP_TLSv1_2, AMQP_TLSvLATEST));
    }
    const timeval limit = timeval_of(options.timeout);
    check(amqp_socket_open_noblock(socket, host.c_str(), target.port, &limit));
    // A broker that hangs, or takes no bytes because its memory is full, must not hold the thread for ever.
    const auto patience = static_cast<unsigned>(options.timeout.count());
    setsockopt(amqp_get_sockfd(state_.get()), IPPROTO_TCP, TCP_USER_TIMEOUT, &patience, sizeof patience);
}

void Connection::login(const Target& target, std::string_view name)
{
    std::vector<amqp_table_entry_t> abilities{true_entry("basic.nack"), true_entry("publisher_confirms"),
                                              true_entry("consumer_cancel_notify")};
    std::vector<amqp_table_entry_t> properties{text_entry("product", "polis"),
                                               text_entry("connection_name", name)};
    amqp_table_entry_t entry{};
    entry.key = bytes_of("capabilities");
    entry.value.kind = AMQP_FIELD_KIND_TABLE;
    entry.value.value.table = table_of(abilities);
    properties.push_back(entry);
    const amqp_table_t table = table_of(properties);
    check(amqp_login_with_properties(state_.get(), target.vhost.c_str(), channels_max, frame_bytes_max,
                                     heartbeat_seconds, &table, AMQP_SASL_METHOD_PLAIN, target.user.c_str(),
                                     target.password.c_str()));
}

// As every one of us declares it, so that no two can disagree about its properties.
void Connection::declare(const std::string& queue)
{
    constexpr amqp_boolean_t passive = 0;
    constexpr amqp_boolean_t durable = 1;
    constexpr amqp_boolean_t exclusive = 0;
    constexpr amqp_boolean_t auto_delete = 0;
    amqp_queue_declare(state_.get(), channel, bytes_of(queue), passive, durable, exclusive, auto_delete,
                       amqp_empty_table);
    check(amqp_get_rpc_reply(state_.get()));
}

void check(int status)
{
    if (status < 0) throw Fault(amqp_error_string2(status));
}

void check(const amqp_rpc_reply_t& reply)
{
    switch (reply.reply_type) {
        case AMQP_RESPONSE_NORMAL:
            return;
        case AMQP_RESPONSE_LIBRARY_EXCEPTION:
            throw Fault(amqp_error_string2(reply.library_error));
        case AMQP_RESPONSE_SERVER_EXCEPTION:
            throw Fault(close_reason(reply.reply));
        case AMQP_RESPONSE_NONE:
            break;
    }
    throw Fault("the broker did not answer");
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

std::string reason_of(unsigned code, amqp_bytes_t text)
{
    std::string reason = text_of(text).substr(0, reason_chars_max);
    std::replace_if(
        reason.begin(), reason.end(), [](char c) { return c < 0x20 || c > 0x7E; }, '?');
    const std::string number = std::to_string(code);
    return reason.starts_with(number) ? reason : number + " " + reason;
}

timeval timeval_of(std::chrono::milliseconds time)
{
    return {.tv_sec = time.count() / 1000, .tv_usec = time.count() % 1000 * 1000};
}

amqp_bytes_t bytes_of(std::string_view text) { return {text.size(), const_cast<char*>(text.data())}; }

std::string text_of(amqp_bytes_t bytes) { return {static_cast<const char*>(bytes.bytes), bytes.len}; }

amqp_table_entry_t text_entry(std::string_view key, std::string_view value)
{
    amqp_table_entry_t entry{};
    entry.key = bytes_of(key);
    entry.value.kind = AMQP_FIELD_KIND_UTF8;
    entry.value.value.bytes = bytes_of(value);
    return entry;
}

amqp_table_t table_of(std::vector<amqp_table_entry_t>& entries)
{
    return {static_cast<int>(entries.size()), entries.data()};
}

}  // namespace infra::amqp
