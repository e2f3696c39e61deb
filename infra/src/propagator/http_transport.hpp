#pragma once

#include "net/curl.hpp"
#include "propagator/transport.hpp"

#include <chrono>
#include <cstddef>
#include <deque>
#include <memory>
#include <string>
#include <vector>

namespace infra::propagator {

struct HttpTransportOptions {
    std::vector<std::string> urls;        // by stream; empty = a stream that is not sent over HTTP
    std::chrono::milliseconds timeout{};  // of one try, from look-up to the last byte of the answer
    std::size_t connections_max = 0;      // kept open when idle
    std::string certificate_file = {};    // empty = the system's trust store
};

// POSTs events with libcurl, over connections that are kept, on the thread of the event loop.
class HttpTransport final : public LoopTransport, private Watcher {
public:
    // `loop` must outlive it.
    HttpTransport(HttpTransportOptions options, EventLoop& loop);
    ~HttpTransport() override;
    HttpTransport(const HttpTransport&) = delete;
    HttpTransport& operator=(const HttpTransport&) = delete;

    void send(const app::Attempt& attempt, Done done) override;
    void abandon() override;
    Moment next_timer() const override { return timer_; }
    void run_timers() override;

private:
    class Transfer;

    void ready(int fd, std::uint32_t events) override;
    void finish_ended();
    Transfer& idle_transfer(std::size_t stream);
    Done release(Transfer& transfer);

    static int on_socket(CURL* easy, curl_socket_t fd, int what, void* self, void* socket_data);
    static int on_timer(CURLM* multi, long timeout_ms, void* self);

    HttpTransportOptions options_;
    EventLoop& loop_;
    net::curl::Multi multi_;
    std::deque<Transfer> transfers_;  // as many as were ever under way at once; libcurl keeps their addresses
    std::vector<std::vector<Transfer*>> idle_;  // by stream
    Moment timer_ = Moment::max();
};

}  // namespace infra::propagator
