#pragma once

#include <curl/curl.h>

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>

// What all clients of libcurl in Polis share.
namespace infra::net::curl {

struct EasyDelete {
    void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};
struct MultiDelete {
    void operator()(CURLM* multi) const { curl_multi_cleanup(multi); }
};
struct SlistDelete {
    void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

using Easy = std::unique_ptr<CURL, EasyDelete>;
using Multi = std::unique_ptr<CURLM, MultiDelete>;
using Headers = std::unique_ptr<curl_slist, SlistDelete>;

// Both initialise libcurl once for the process, and throw when it cannot be used.
Easy new_easy();
Multi new_multi();

void check(CURLMcode code);

template <class Value>
void set(CURL* easy, CURLoption option, Value value)
{
    if (curl_easy_setopt(easy, option, value) != CURLE_OK)
        throw std::runtime_error("libcurl does not accept one of its options");
}

void append(Headers& headers, const char* line);

// http and https only, no proxy, no signals, TLS verified; redirects are not followed.
void set_policy(CURL* easy, const char* user_agent);
void follow_redirects(CURL* easy);

unsigned status_of(CURL* easy);
// Nothing when it is not asked for, or is a date in the past.
std::optional<std::chrono::seconds> retry_after(CURL* easy);

// The object that CURLOPT_PRIVATE points to.
template <class Owner>
Owner& owner_of(CURL* easy)
{
    void* owner = nullptr;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &owner);
    return *static_cast<Owner*>(owner);
}

// Takes the body of an answer up to a limit; one that is longer ends the transfer with CURLE_WRITE_ERROR. The
// handle keeps its address.
class Body {
public:
    // Reads `bytes_max` and keeps the first `kept_max` of them.
    Body(std::size_t bytes_max, std::size_t kept_max) : bytes_max_(bytes_max), kept_max_(kept_max) {}
    Body(const Body&) = delete;
    Body& operator=(const Body&) = delete;

    void attach(CURL* easy);
    void reset();
    const std::string& text() const { return text_; }
    std::size_t bytes_max() const { return bytes_max_; }
    // The transfer ended well, or only because its body was too long: then the status had arrived.
    bool answered(CURLcode code) const;

private:
    static std::size_t receive(const char* data, std::size_t size, std::size_t count, void* self);

    std::size_t bytes_max_;
    std::size_t kept_max_;
    std::size_t bytes_ = 0;
    std::string text_;
};

}  // namespace infra::net::curl
