#pragma once

#include "app/ports/message_sink.hpp"
#include "infra/sinks/http_sink.hpp"

#include <curl/curl.h>

#include <cstddef>
#include <memory>

namespace infra::sinks {

struct Job {
    domain::OutboxMessage message;
    app::MessageSink::Done done;
};

struct EasyDelete {
    void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};

struct SlistDelete {
    void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

// One request at a time over one easy handle, which is used again for the next. Not movable: libcurl holds
// pointers to it and to the payload.
class HttpTransfer {
public:
    explicit HttpTransfer(const HttpSinkOptions& options);
    HttpTransfer(const HttpTransfer&) = delete;
    HttpTransfer& operator=(const HttpTransfer&) = delete;

    CURL* easy() const { return easy_.get(); }
    static HttpTransfer& of(CURL* easy);

    void prepare(Job job, const HttpSinkOptions& options);
    // What the end of the transfer means.
    domain::DeliveryOutcome outcome(CURLcode code) const;
    // Hands the caller's function back and forgets the message.
    app::MessageSink::Done release();

private:
    static std::size_t read_body(char* data, std::size_t size, std::size_t count, void* self);
    static curl_socket_t open_socket(void* self, curlsocktype purpose, curl_sockaddr* address);
    void set_policy();
    void prepare_call(const HttpSinkOptions& options);
    void set_body(const std::string& body);

    std::unique_ptr<CURL, EasyDelete> easy_;
    std::unique_ptr<curl_slist, SlistDelete> headers_;
    Job job_;
    std::size_t body_bytes_ = 0;
    std::string answer_;  // of what is kept of it
    HttpCall call_;
    const bool keeps_answer_;
    const std::size_t answer_bytes_max_;
    const domain::AddressPolicy* guard_;
    bool refused_ = false;  // the guard said no to an address
};

}  // namespace infra::sinks
