#include "propagator/http_transport.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <string_view>
#include <sys/epoll.h>
#include <utility>

namespace infra::propagator {
namespace {

using domain::propagation::TryResult;
using net::curl::append;
using net::curl::check;
using net::curl::Headers;
using net::curl::set;

// Answers are read only to keep the connection usable; who answers more loses it.
constexpr std::size_t answer_bytes_max = std::size_t{64} * 1024;
constexpr std::string_view key_header = "Idempotency-Key: ";
constexpr std::size_t key_bytes = 36;  // a UUID

}  // namespace

// One request at a time over one easy handle, which is used again for the next. Not movable: libcurl holds
// pointers to it and to the payload.
class HttpTransport::Transfer {
public:
    Transfer(std::size_t stream, const HttpTransportOptions& options)
        : stream_(stream), easy_(net::curl::new_easy())
    {
        set_policy(options);
        append(headers_, "Content-Type: application/json");
        append(headers_, "Expect:");  // removes it: servers that ignore it would cost a second each
        append(headers_, (std::string(key_header) + std::string(key_bytes, '0')).c_str());
        key_ = headers_->next->next->data + key_header.size();
        set(easy(), CURLOPT_HTTPHEADER, headers_.get());
    }
    Transfer(const Transfer&) = delete;
    Transfer& operator=(const Transfer&) = delete;

    CURL* easy() const { return easy_.get(); }
    std::size_t stream() const { return stream_; }
    bool is_active() const { return done_ != nullptr; }

    static Transfer& of(CURL* easy) { return net::curl::owner_of<Transfer>(easy); }

    void prepare(const app::Attempt& attempt, Done done)
    {
        assert(attempt.idempotency_key.size() == key_bytes);
        payload_ = attempt.payload;
        done_ = std::move(done);
        answer_.reset();
        // In place: libcurl reads the list when the request starts, and thousands of requests a second should
        // not each build their own.
        std::memcpy(key_, attempt.idempotency_key.data(), key_bytes);
        set(easy(), CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(payload_->size()));
        set(easy(), CURLOPT_POSTFIELDS, payload_->c_str());
    }

    TryResult result(CURLcode code) const
    {
        if (!answer_.answered(code)) return {.error = curl_easy_strerror(code)};
        TryResult answer{.status = net::curl::status_of(easy())};
        answer.retry_after = net::curl::retry_after(easy());
        return answer;
    }

    Done release()
    {
        payload_.reset();
        return std::exchange(done_, nullptr);
    }

private:
    void set_policy(const HttpTransportOptions& options)
    {
        net::curl::set_policy(easy(), "polis-propagator");
        net::curl::follow_redirects(easy());
        answer_.attach(easy());
        set(easy(), CURLOPT_URL, options.urls[stream_].c_str());
        set(easy(), CURLOPT_TIMEOUT_MS, static_cast<long>(options.timeout.count()));
        set(easy(), CURLOPT_POST, 1L);
        set(easy(), CURLOPT_PRIVATE, static_cast<void*>(this));
        if (!options.certificate_file.empty()) set(easy(), CURLOPT_CAINFO, options.certificate_file.c_str());
    }

    std::size_t stream_;
    Headers headers_;  // outlives the handle that points to it
    char* key_ = nullptr;
    std::shared_ptr<const std::string> payload_;
    net::curl::Easy easy_;
    Done done_;
    net::curl::Body answer_{answer_bytes_max, 0};
};

HttpTransport::HttpTransport(HttpTransportOptions options, EventLoop& loop)
    : options_(std::move(options)), loop_(loop), multi_(net::curl::new_multi()), idle_(options_.urls.size())
{
    CURLM* const multi = multi_.get();
    check(curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, &HttpTransport::on_socket));
    check(curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, static_cast<void*>(this)));
    check(curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, &HttpTransport::on_timer));
    check(curl_multi_setopt(multi, CURLMOPT_TIMERDATA, static_cast<void*>(this)));
    check(curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, static_cast<long>(options_.connections_max)));
}

HttpTransport::~HttpTransport()
{
    for (auto& transfer : transfers_) {
        if (transfer.is_active()) curl_multi_remove_handle(multi_.get(), transfer.easy());
    }
}

void HttpTransport::send(const app::Attempt& attempt, Done done)
{
    Transfer& transfer = idle_transfer(attempt.stream);
    transfer.prepare(attempt, std::move(done));
    check(curl_multi_add_handle(multi_.get(), transfer.easy()));
}

HttpTransport::Transfer& HttpTransport::idle_transfer(std::size_t stream)
{
    auto& idle = idle_[stream];
    if (idle.empty()) return transfers_.emplace_back(stream, options_);
    Transfer& transfer = *idle.back();
    idle.pop_back();
    return transfer;
}

app::EventTransport::Done HttpTransport::release(Transfer& transfer)
{
    check(curl_multi_remove_handle(multi_.get(), transfer.easy()));
    idle_[transfer.stream()].push_back(&transfer);
    return transfer.release();
}

void HttpTransport::run_timers()
{
    if (timer_ <= std::chrono::steady_clock::now()) {
        timer_ = Moment::max();
        int running = 0;
        check(curl_multi_socket_action(multi_.get(), CURL_SOCKET_TIMEOUT, 0, &running));
    }
    finish_ended();
}

void HttpTransport::ready(int fd, std::uint32_t events)
{
    int what = 0;
    if ((events & EPOLLIN) != 0) what |= CURL_CSELECT_IN;
    if ((events & EPOLLOUT) != 0) what |= CURL_CSELECT_OUT;
    if ((events & (EPOLLERR | EPOLLHUP)) != 0) what |= CURL_CSELECT_ERR;
    int running = 0;
    check(curl_multi_socket_action(multi_.get(), fd, what, &running));
}

void HttpTransport::finish_ended()
{
    int left = 0;
    while (const CURLMsg* message = curl_multi_info_read(multi_.get(), &left)) {
        if (message->msg != CURLMSG_DONE) continue;
        const CURLcode code = message->data.result;  // removal invalidates the message
        Transfer& transfer = Transfer::of(message->easy_handle);
        const TryResult result = transfer.result(code);
        release(transfer)(result);
    }
}

void HttpTransport::abandon()
{
    finish_ended();  // what is known must not be called unknown
    for (auto& transfer : transfers_) {
        if (transfer.is_active()) release(transfer)({.abandoned = true, .error = "given up at the stop"});
    }
}

int HttpTransport::on_socket(CURL* /*easy*/, curl_socket_t fd, int what, void* self, void* /*socket_data*/)
{
    auto* const transport = static_cast<HttpTransport*>(self);
    std::uint32_t events = 0;
    if (what == CURL_POLL_IN || what == CURL_POLL_INOUT) events |= EPOLLIN;
    if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT) events |= EPOLLOUT;
    try {
        transport->loop_.watch(fd, events, transport);
        return 0;
    } catch (const std::exception&) {
        return -1;  // no exception may pass through libcurl's frames: it fails the transfer
    }
}

int HttpTransport::on_timer(CURLM* /*multi*/, long timeout_ms, void* self)
{
    static_cast<HttpTransport*>(self)->timer_ =
        timeout_ms < 0 ? Moment::max()
                       : std::chrono::steady_clock::now() + std::chrono::milliseconds{timeout_ms};
    return 0;
}

}  // namespace infra::propagator
