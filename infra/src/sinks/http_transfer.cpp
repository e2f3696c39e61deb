#include "sinks/http_transfer.hpp"

#include "domain/http_outcome.hpp"
#include "domain/ids.hpp"
#include "net/addresses.hpp"
#include "sinks/signature.hpp"

#include <algorithm>
#include <chrono>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <utility>

namespace infra::sinks {
namespace {

// Kept of the answer to a delivery that failed, for operators.
constexpr std::size_t excerpt_bytes_max = 256;

constexpr std::chrono::milliseconds connect_timeout_max{5'000};

template <class Value>
void set(CURL* easy, CURLoption option, Value value)
{
    if (curl_easy_setopt(easy, option, value) != CURLE_OK) {
        throw std::runtime_error("libcurl does not accept an option of the HTTP sink");
    }
}

using Headers = std::unique_ptr<curl_slist, SlistDelete>;

void append(Headers& headers, std::string_view name, std::string_view value)
{
    std::string line;
    line.reserve(name.size() + value.size() + 2);
    line.append(name).append(": ").append(value);
    curl_slist* const longer = curl_slist_append(headers.get(), line.c_str());
    if (longer == nullptr) throw std::bad_alloc();
    static_cast<void>(headers.release());
    headers.reset(longer);
}

// CloudEvents HTTP binding 3.1.3.2: everything but printable ASCII, and also space, quote and percent, is
// percent-encoded. So no line break of a topic can become a header.
std::string header_value(std::string_view text)
{
    constexpr std::string_view digits = "0123456789ABCDEF";
    std::string out;
    out.reserve(text.size());
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte > 0x20 && byte < 0x7F && c != '"' && c != '%') {
            out += c;
        } else {
            out += '%';
            out += digits[byte >> 4U];
            out += digits[byte & 0x0FU];
        }
    }
    return out;
}

// Answers are foreign text: only what is safe in a log, a page and the database is kept.
std::string printable(std::string text)
{
    std::replace_if(
        text.begin(), text.end(), [](char c) { return c < 0x20 || c > 0x7E; }, '?');
    return text;
}

std::string unix_seconds_now()
{
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    return std::to_string(std::chrono::duration_cast<std::chrono::seconds>(now).count());
}

Headers headers_of(const domain::OutboxMessage& message, const HttpSinkOptions& options)
{
    const std::string id = domain::to_string(message.event_id);
    Headers headers;
    append(headers, "Content-Type", "application/json");
    append(headers, "Expect", "");  // removes it: servers that ignore it would cost a second each
    append(headers, "ce-specversion", "1.0");
    append(headers, "ce-id", id);
    append(headers, "ce-type", header_value(message.topic));
    append(headers, "ce-source", "/polis/events/" + domain::to_string(domain::family_base(message.event_id)));
    append(headers, "ce-time", domain::format_time(domain::id_time(message.event_id)));
    if (!options.subscription.empty()) append(headers, "ce-subscription", header_value(options.subscription));
    const std::string webhook_id = "msg_" + id;
    const std::string timestamp = unix_seconds_now();
    append(headers, "webhook-id", webhook_id);
    append(headers, "webhook-timestamp", timestamp);
    if (!options.secrets.empty())
        append(headers, "webhook-signature",
               webhook_signature(options.secrets, webhook_id, timestamp, message.payload));
    for (const auto& [name, value] : options.headers) append(headers, name, value);
    return headers;
}

Headers headers_of(const HttpCall& call)
{
    Headers headers;
    append(headers, "Content-Type", call.body.empty() ? "" : "application/json");
    append(headers, "Accept", "application/json");
    append(headers, "Expect", "");
    if (!call.idempotency_key.empty()) append(headers, "Idempotency-Key", header_value(call.idempotency_key));
    for (const auto& [name, value] : call.headers) append(headers, name, value);
    return headers;
}

}  // namespace

HttpTransfer::HttpTransfer(const HttpSinkOptions& options)
    : easy_(curl_easy_init()),
      keeps_answer_(static_cast<bool>(options.call)),
      answer_bytes_max_(options.answer_bytes_max),
      guard_(options.guard ? &*options.guard : nullptr)
{
    if (!easy_) throw std::bad_alloc();
    set_policy();
    CURL* const easy = easy_.get();
    set(easy, CURLOPT_URL, options.url.c_str());
    set(easy, CURLOPT_TIMEOUT_MS, static_cast<long>(options.timeout.count()));
    set(easy, CURLOPT_CONNECTTIMEOUT_MS,
        static_cast<long>(std::min(options.timeout, connect_timeout_max).count()));
    set(easy, CURLOPT_POST, 1L);
    set(easy, CURLOPT_USERAGENT, "polis");
    set(easy, CURLOPT_PRIVATE, static_cast<void*>(this));
    set(easy, CURLOPT_WRITEFUNCTION, &HttpTransfer::read_body);
    set(easy, CURLOPT_WRITEDATA, static_cast<void*>(this));
    if (guard_ == nullptr) return;
    set(easy, CURLOPT_OPENSOCKETFUNCTION, &HttpTransfer::open_socket);
    set(easy, CURLOPT_OPENSOCKETDATA, static_cast<void*>(this));
}

void HttpTransfer::set_policy()
{
    CURL* const easy = easy_.get();
    set(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    set(easy, CURLOPT_FOLLOWLOCATION, 0L);
    set(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
    set(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    set(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    // Only documented settings decide where messages go, so http_proxy of the environment does not.
    set(easy, CURLOPT_PROXY, "");
    set(easy, CURLOPT_NOSIGNAL, 1L);
    // Without it a look-up that hangs blocks the whole loop, and stop(), until the resolver gives up.
    set(easy, CURLOPT_QUICK_EXIT, 1L);
}

HttpTransfer& HttpTransfer::of(CURL* easy)
{
    void* self = nullptr;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &self);
    return *static_cast<HttpTransfer*>(self);
}

void HttpTransfer::prepare(Job job, const HttpSinkOptions& options)
{
    job_ = std::move(job);
    body_bytes_ = 0;
    answer_.clear();
    refused_ = false;
    if (options.call) return prepare_call(options);
    Headers headers = headers_of(job_.message, options);
    set(easy(), CURLOPT_HTTPHEADER, headers.get());
    headers_ = std::move(headers);  // only now: libcurl held the old list until here
    set_body(job_.message.payload);
}

void HttpTransfer::prepare_call(const HttpSinkOptions& options)
{
    call_ = options.call(job_.message);
    Headers headers = headers_of(call_);
    set(easy(), CURLOPT_HTTPHEADER, headers.get());
    headers_ = std::move(headers);
    set(easy(), CURLOPT_URL, call_.url.c_str());
    if (call_.body.empty() && call_.method != "POST") {
        set(easy(), CURLOPT_HTTPGET, 1L);
    } else {
        set(easy(), CURLOPT_POST, 1L);
        set_body(call_.body);
    }
    set(easy(), CURLOPT_CUSTOMREQUEST, call_.method.c_str());
}

// libcurl does not copy it.
void HttpTransfer::set_body(const std::string& body)
{
    set(easy(), CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
    set(easy(), CURLOPT_POSTFIELDS, body.c_str());
}

domain::DeliveryOutcome HttpTransfer::outcome(CURLcode code) const
{
    // read_body() ended the transfer: the status had arrived by then.
    const bool answered = code == CURLE_OK || (code == CURLE_WRITE_ERROR && body_bytes_ > answer_bytes_max_);
    if (!answered && refused_)
        return {.verdict = domain::Verdict::retry, .error = "the destination's address is not allowed"};
    if (!answered) return {.verdict = domain::Verdict::retry, .error = curl_easy_strerror(code)};
    long status = 0;
    curl_off_t wait = 0;  // 0 = not asked for; a date is converted, one in the past is negative
    curl_easy_getinfo(easy(), CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(easy(), CURLINFO_RETRY_AFTER, &wait);
    std::optional<std::chrono::seconds> retry_after;
    if (wait > 0) retry_after = std::chrono::seconds{wait};
    auto outcome = domain::classify_http_status(static_cast<unsigned>(status), retry_after);
    if (outcome.verdict != domain::Verdict::delivered)
        outcome.excerpt = printable(answer_.substr(0, excerpt_bytes_max));
    if (!keeps_answer_) return outcome;
    outcome.status = static_cast<unsigned>(status);
    if (body_bytes_ > answer_bytes_max_) {
        return {.verdict = domain::Verdict::rejected,
                .error = "the answer is larger than " + std::to_string(answer_bytes_max_) + " bytes",
                .status = outcome.status};
    }
    outcome.answer = answer_;
    return outcome;
}

app::MessageSink::Done HttpTransfer::release()
{
    app::MessageSink::Done done = std::move(job_.done);
    job_ = {};
    return done;
}

std::size_t HttpTransfer::read_body(char* data, std::size_t size, std::size_t count, void* self)
{
    auto& transfer = *static_cast<HttpTransfer*>(self);
    const std::size_t bytes = size * count;
    const std::size_t kept_max = transfer.keeps_answer_ ? transfer.answer_bytes_max_ : excerpt_bytes_max;
    if (transfer.answer_.size() < kept_max)
        transfer.answer_.append(data, std::min(bytes, kept_max - transfer.answer_.size()));
    transfer.body_bytes_ += bytes;
    return transfer.body_bytes_ <= transfer.answer_bytes_max_ ? bytes : 0;
}

// The address that is checked is the one that is connected to: no second look-up lies in between.
curl_socket_t HttpTransfer::open_socket(void* self, curlsocktype /*purpose*/, curl_sockaddr* address)
{
    auto& transfer = *static_cast<HttpTransfer*>(self);
    const auto ip = net::ip_of(address->addr);
    if (!ip || !transfer.guard_->permits(*ip)) {
        transfer.refused_ = true;
        return CURL_SOCKET_BAD;
    }
    return ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

}  // namespace infra::sinks
