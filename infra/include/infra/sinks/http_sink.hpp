#pragma once

#include "app/ports/message_sink.hpp"
#include "domain/address_policy.hpp"

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace infra {

// A request that is not the delivery of a payload to one URL.
struct HttpCall {
    std::string method;
    std::string url;
    std::string body = {};             // JSON; empty = none
    std::string idempotency_key = {};  // any text
    std::vector<std::pair<std::string, std::string>> headers = {};
};

struct HttpSinkOptions {
    std::string url;
    std::chrono::milliseconds timeout{};  // of one attempt, from look-up to the last byte of the answer
    std::size_t in_flight_max = 0;        // requests, and so connections
    std::string subscription = {};        // sent as `ce-subscription` when not empty
    std::vector<std::pair<std::string, std::string>> headers = {};
    std::vector<std::string> secrets = {};  // keys of Standard Webhooks: every message is signed with each
    std::optional<domain::AddressPolicy> guard = {};       // asked before every connection
    bool batch = false;                                    // CloudEvents batches instead of binary mode
    bool keeps_answer = false;                             // whole, with its status
    std::size_t answer_bytes_max = std::size_t{4} * 1024;  // who answers more loses the connection
};

// POSTs each message to one URL as a CloudEvent in binary mode, or what waits as one CloudEvents batch. All
// transfers run on one thread of the sink, which also calls `done`; so `done` must not block, may call
// send(), and must not call stop() nor destroy the sink. Messages beyond in_flight_max wait inside.
class HttpSink final : public app::MessageSink {
public:
    explicit HttpSink(HttpSinkOptions options);
    ~HttpSink() override;
    HttpSink(const HttpSink&) = delete;
    HttpSink& operator=(const HttpSink&) = delete;

    void send(const domain::OutboxMessage& message, Done done) override;
    // The same with a request of its own, on behalf of the message. For sinks that keep the answer.
    void call(const domain::OutboxMessage& message, HttpCall call, Done done);
    void stop() override;

private:
    class Loop;
    std::unique_ptr<Loop> loop_;
};

}  // namespace infra
