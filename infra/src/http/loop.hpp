#pragma once

#include "http/completions.hpp"
#include "infra/http/server.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <ctime>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

namespace infra::http {

namespace net = boost::asio;
using Clock = std::chrono::steady_clock;
using Executor = net::io_context::executor_type;  // the concrete type: any_io_executor costs allocations
using Socket = net::basic_stream_socket<net::ip::tcp, Executor>;
using Timer = net::basic_waitable_timer<Clock, net::wait_traits<Clock>, Executor>;
template <class T>
using Awaitable = net::awaitable<T, Executor>;
inline constexpr auto with_error = net::as_tuple(net::use_awaitable_t<Executor>());

class Session;

// What all loops of a server share.
struct Shared {
    ServerOptions options;
    const Router& router;
    RequestObserver observer;
    std::atomic<std::size_t> connections = 0;
};

// One io thread with its context and sessions. Everything but context() and completions() belongs to that
// thread.
class Loop {
public:
    explicit Loop(Shared& shared);
    ~Loop();
    Loop(const Loop&) = delete;
    Loop& operator=(const Loop&) = delete;

    net::io_context& context() { return context_; }
    const std::shared_ptr<Completions>& completions() const { return completions_; }
    Shared& shared() { return shared_; }

    void run();  // returns once drained and without sessions
    void adopt(Socket socket);
    void drain(Clock::time_point cut_at);
    bool draining() const { return draining_; }

    void deliver(RequestId id, Response&& response);
    std::string_view date();  // of now, as the Date header wants it

private:
    void finish(std::uint64_t session);
    void end_if_drained();
    void watch_deadlines();
    void check_deadlines();

    Shared& shared_;
    net::io_context context_{1};
    net::executor_work_guard<Executor> work_;
    std::shared_ptr<Completions> completions_;
    std::unordered_map<std::uint64_t, std::shared_ptr<Session>> sessions_;
    Timer watch_;
    bool watching_ = false;
    bool draining_ = false;
    Clock::time_point cut_at_ = Clock::time_point::max();
    std::uint64_t last_session_ = 0;
    std::time_t date_second_ = 0;
    std::string date_;
};

}  // namespace infra::http
