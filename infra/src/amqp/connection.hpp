#pragma once

#include "amqp/rabbitmq.hpp"
#include "amqp/target.hpp"
#include "domain/address_policy.hpp"

#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <sys/time.h>
#include <vector>

// What senders and receivers share, on librabbitmq.
namespace infra::amqp {

// The connection is of no use any more, or could not be made.
class Fault : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

constexpr amqp_channel_t channel = 1;  // the only one
// The heartbeat is kept by whatever reads; this often is enough.
constexpr std::chrono::milliseconds beat_interval{2'000};

struct ConnectOptions {
    std::chrono::milliseconds timeout{};              // of every answer of the broker
    std::string_view name;                            // that the broker's tools show
    std::optional<domain::AddressPolicy> guard = {};  // asked before the connection is made
};

// One connection, logged in, with one channel; the target's queue is there. For one thread.
class Connection {
public:
    Connection(const Target& target, const ConnectOptions& options);

    amqp_connection_state_t state() const { return state_.get(); }
    int socket() const { return amqp_get_sockfd(state_.get()); }

    // Tells the broker good-bye.
    void close() { amqp_connection_close(state_.get(), AMQP_REPLY_SUCCESS); }

private:
    struct StateDelete {
        void operator()(amqp_connection_state_t_* state) const { amqp_destroy_connection(state); }
    };

    void open_socket(const Target& target, const ConnectOptions& options);
    void login(const Target& target, std::string_view name);
    void declare(const std::string& queue);

    std::unique_ptr<amqp_connection_state_t_, StateDelete> state_;
};

// They throw Fault unless all is well.
void check(int status);
void check(const amqp_rpc_reply_t& reply);

// Why the broker closes the channel or the connection.
std::string close_reason(const amqp_method_t& method);
// The broker's words are foreign text.
std::string reason_of(unsigned code, amqp_bytes_t text);

timeval timeval_of(std::chrono::milliseconds time);
// Valid for as long as the text.
amqp_bytes_t bytes_of(std::string_view text);
std::string text_of(amqp_bytes_t bytes);
amqp_table_entry_t text_entry(std::string_view key, std::string_view value);
amqp_table_t table_of(std::vector<amqp_table_entry_t>& entries);

}  // namespace infra::amqp
