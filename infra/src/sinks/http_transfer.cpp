#include "sinks/http_transfer.hpp"

#include "domain/http_outcome.hpp"
#include "domain/ids.hpp"
#include "domain/json.hpp"
#include "net/addresses.hpp"
#include "sinks/attributes.hpp"
#include "sinks/signature.hpp"

#include <algorithm>
#include <chrono>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <utility>

namespace infra::sinks {
namespace {

using net::curl::Headers;
using net::curl::set;

// Kept of the answer to a delivery that failed, for operators.
constexpr std::size_t excerpt_bytes_max = 256;

constexpr std::chrono::milliseconds connect_timeout_max{5'000};

void append(Headers& headers, std::string_view name, std::string_view value)
{
    std::string line;
    line.reserve(name.size() + value.size() + 2);
    line.append(name).append(": ").append(value);
    net::curl::append(headers, line.c_str());
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

// The same jobs have the same id, in every try; other ones never, so no receiver drops a batch that has news.
std::string batch_id(const std::vector<Job>& jobs)
{
    std::string ids;
    for (const auto& job : jobs) ids += domain::to_string(job.message.event_id);
    return "batch_" + digest_text(ids);
}

void append_webhook(Headers& headers, const HttpSinkOptions& options, const std::string& id,
                    std::string_view body)
{
    const std::string timestamp = unix_seconds_now();
    append(headers, "webhook-id", id);
    append(headers, "webhook-timestamp", timestamp);
    if (!options.secrets.empty())
        append(headers, "webhook-signature", webhook_signature(options.secrets, id, timestamp, body));
    for (const auto& [name, value] : options.headers) append(headers, name, value);
}

Headers headers_of(const domain::OutboxMessage& message, const HttpSinkOptions& options)
{
    Headers headers;
    append(headers, "Content-Type", "application/json");
    append(headers, "Expect", "");  // removes it: servers that ignore it would cost a second each
    for (const auto& [name, value] : cloud_attributes(message, options.subscription))
        append(headers, "ce-" + std::string(name), header_value(value));
    for (const auto& [name, value] : trace_headers(message)) append(headers, name, value);
    append_webhook(headers, options, "msg_" + domain::to_string(message.event_id), message.payload);
    return headers;
}

Headers headers_of(const std::vector<Job>& batch, const std::string& body, const HttpSinkOptions& options)
{
    Headers headers;
    append(headers, "Content-Type", "application/cloudevents-batch+json");
    append(headers, "Expect", "");
    append_webhook(headers, options, batch_id(batch), body);
    return headers;
}

Headers headers_of(const HttpCall& call, const domain::OutboxMessage& message)
{
    Headers headers;
    append(headers, "Content-Type", call.body.empty() ? "" : "application/json");
    append(headers, "Accept", "application/json");
    append(headers, "Expect", "");
    if (!call.idempotency_key.empty()) append(headers, "Idempotency-Key", header_value(call.idempotency_key));
    for (const auto& [name, value] : call.headers) append(headers, name, value);
    for (const auto& [name, value] : trace_headers(message)) append(headers, name, value);
    return headers;
}

}  // namespace

HttpTransfer::HttpTransfer(const HttpSinkOptions& options)
    : easy_(net::curl::new_easy()),
      keeps_answer_(options.keeps_answer),
      answer_(options.answer_bytes_max, keeps_answer_ ? options.answer_bytes_max : excerpt_bytes_max),
      guard_(options.guard ? &*options.guard : nullptr)
{
    CURL* const easy = easy_.get();
    net::curl::set_policy(easy, "polis");
    answer_.attach(easy);
    set(easy, CURLOPT_URL, options.url.c_str());
    set(easy, CURLOPT_TIMEOUT_MS, static_cast<long>(options.timeout.count()));
    set(easy, CURLOPT_CONNECTTIMEOUT_MS,
        static_cast<long>(std::min(options.timeout, connect_timeout_max).count()));
    set(easy, CURLOPT_POST, 1L);
    set(easy, CURLOPT_PRIVATE, static_cast<void*>(this));
    if (guard_ == nullptr) return;
    set(easy, CURLOPT_OPENSOCKETFUNCTION, &HttpTransfer::open_socket);
    set(easy, CURLOPT_OPENSOCKETDATA, static_cast<void*>(this));
}

HttpTransfer& HttpTransfer::of(CURL* easy) { return net::curl::owner_of<HttpTransfer>(easy); }

std::string batch_body(const std::vector<Job>& jobs, const std::string& subscription)
{
    std::string body = "[";
    for (const auto& job : jobs) {
        body += body.size() == 1 ? "{" : ",{";
        for (const auto& [name, value] : cloud_attributes(job.message, subscription)) {
            body.append("\"").append(name).append("\":");
            body.append(domain::json_string(value)).append(",");
        }
        body += R"("datacontenttype":"application/json","data":)";
        body.append(job.message.payload.empty() ? "null" : job.message.payload).append("}");
    }
    return body.append("]");
}

void HttpTransfer::prepare(std::vector<Job> jobs, const HttpSinkOptions& options)
{
    jobs_ = std::move(jobs);
    answer_.reset();
    refused_ = false;
    if (jobs_.front().call) return prepare_call(jobs_.front());
    if (options.batch) batch_ = batch_body(jobs_, options.subscription);
    const std::string& body = options.batch ? batch_ : jobs_.front().message.payload;
    set_headers(options.batch ? headers_of(jobs_, body, options)
                              : headers_of(jobs_.front().message, options));
    set_body(body);
}

void HttpTransfer::prepare_call(const Job& job)
{
    const auto& call = *job.call;
    set_headers(headers_of(call, job.message));
    set(easy(), CURLOPT_URL, call.url.c_str());
    if (call.body.empty() && call.method != "POST") {
        set(easy(), CURLOPT_HTTPGET, 1L);
    } else {
        set(easy(), CURLOPT_POST, 1L);
        set_body(call.body);
    }
    set(easy(), CURLOPT_CUSTOMREQUEST, call.method.c_str());
}

void HttpTransfer::set_headers(Headers headers)
{
    set(easy(), CURLOPT_HTTPHEADER, headers.get());
    headers_ = std::move(headers);  // only now: libcurl held the old list until here
}

// libcurl does not copy it.
void HttpTransfer::set_body(const std::string& body)
{
    set(easy(), CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
    set(easy(), CURLOPT_POSTFIELDS, body.c_str());
}

domain::DeliveryOutcome HttpTransfer::outcome(CURLcode code) const
{
    const bool answered = answer_.answered(code);
    if (!answered && refused_)
        return {.verdict = domain::Verdict::retry, .error = "the destination's address is not allowed"};
    if (!answered) return {.verdict = domain::Verdict::retry, .error = curl_easy_strerror(code)};
    auto outcome = domain::classify_http_status(net::curl::status_of(easy()), net::curl::retry_after(easy()));
    if (outcome.verdict != domain::Verdict::delivered)
        outcome.excerpt = printable(answer_.text().substr(0, excerpt_bytes_max));
    if (!keeps_answer_) return outcome;
    outcome.status = net::curl::status_of(easy());
    if (code != CURLE_OK) {  // it was cut off
        return {.verdict = domain::Verdict::rejected,
                .error = "the answer is larger than " + std::to_string(answer_.bytes_max()) + " bytes",
                .status = outcome.status};
    }
    outcome.answer = answer_.text();
    return outcome;
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
