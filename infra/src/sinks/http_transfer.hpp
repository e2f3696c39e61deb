#pragma once

#include "app/ports/message_sink.hpp"
#include "infra/sinks/http_sink.hpp"
#include "net/curl.hpp"

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace infra::sinks {

struct Job {
    domain::OutboxMessage message;
    app::MessageSink::Done done;
    std::optional<HttpCall> call = {};  // instead of the payload's delivery
    bool alone = false;                 // it was in a batch that was refused
};

// The body of a CloudEvents batch.
std::string batch_body(const std::vector<Job>& jobs, const std::string& subscription);

// One request at a time over one easy handle, which is used again for the next. Not movable: libcurl holds
// pointers to it and to the payload.
class HttpTransfer {
public:
    explicit HttpTransfer(const HttpSinkOptions& options);
    HttpTransfer(const HttpTransfer&) = delete;
    HttpTransfer& operator=(const HttpTransfer&) = delete;

    CURL* easy() const { return easy_.get(); }
    static HttpTransfer& of(CURL* easy);

    // One job, or in batch mode any number.
    void prepare(std::vector<Job> jobs, const HttpSinkOptions& options);
    // What the end of the transfer means.
    domain::DeliveryOutcome outcome(CURLcode code) const;
    // Hands the jobs back.
    std::vector<Job> release() { return std::exchange(jobs_, {}); }

private:
    static curl_socket_t open_socket(void* self, curlsocktype purpose, curl_sockaddr* address);
    void prepare_call(const Job& job);
    void set_headers(net::curl::Headers headers);
    void set_body(const std::string& body);

    net::curl::Easy easy_;
    net::curl::Headers headers_;
    std::vector<Job> jobs_;
    std::string batch_;
    const bool keeps_answer_;
    net::curl::Body answer_;
    const domain::AddressPolicy* guard_;
    bool refused_ = false;  // the guard said no to an address
};

}  // namespace infra::sinks
