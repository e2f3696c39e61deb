#include "infra/http/server.hpp"

#include "http/loop.hpp"
#include "infra/log/log.hpp"

#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/post.hpp>

#include <algorithm>
#include <future>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace infra::http {

using boost::system::error_code;
using net::ip::tcp;

namespace {

constexpr std::chrono::milliseconds accept_pause{100};  // when descriptors have run out

tcp::endpoint resolve(net::io_context& context, const ServerOptions& options)
{
    error_code ec;
    const auto address = net::ip::make_address(options.host, ec);
    if (!ec) return {address, options.port};
    tcp::resolver resolver(context);
    const auto found = resolver.resolve(options.host, std::to_string(options.port), ec);
    if (ec) throw std::system_error(static_cast<std::error_code>(ec), "http: cannot resolve the host");
    return found.begin()->endpoint();
}

}  // namespace

class Server::Impl {
public:
    Impl(const ServerOptions& options, const Router& router, RequestObserver observer)
        : shared_{options, router, std::move(observer)},
          loops_(make_loops(shared_)),
          acceptor_(loops_.front()->context().get_executor()),
          pause_(loops_.front()->context().get_executor())
    {
        error_code ec;
        listen(ec);
        if (ec) {
            throw std::system_error(static_cast<std::error_code>(ec),
                                    "cannot listen on " + options.host + ":" + std::to_string(options.port));
        }
    }

    ~Impl() { drain(std::chrono::milliseconds(0)); }
    Impl(const Impl&) = delete;
    Impl& operator=(const Impl&) = delete;

    std::uint16_t port() const { return port_; }

    void start()
    {
        const std::lock_guard lock(mutex_);
        if (drained_ || !threads_.empty()) return;
        net::post(loops_.front()->context(), [this] { accept_next(); });
        for (const auto& loop : loops_) {
            threads_.emplace_back([&one = *loop] { one.run(); });
        }
    }

    void drain(std::chrono::milliseconds limit)
    {
        const std::lock_guard lock(mutex_);
        if (drained_) return;
        drained_ = true;
        if (threads_.empty()) {
            error_code ignored;
            acceptor_.close(ignored);
            return;
        }
        const Clock::time_point cut_at = Clock::now() + limit;
        stop_accepting();
        for (const auto& loop : loops_) {
            net::post(loop->context(), [&one = *loop, cut_at] { one.drain(cut_at); });
        }
        for (std::thread& thread : threads_) thread.join();
        for (const auto& loop : loops_) loop->completions()->close();
    }

private:
    using Loops = std::vector<std::unique_ptr<Loop>>;

    static Loops make_loops(Shared& shared)
    {
        Loops loops;
        const std::size_t count = std::max<std::size_t>(1, shared.options.threads);
        for (std::size_t index = 0; index < count; ++index) loops.push_back(std::make_unique<Loop>(shared));
        return loops;
    }

    void listen(error_code& ec)
    {
        const tcp::endpoint endpoint = resolve(loops_.front()->context(), shared_.options);
        acceptor_.open(endpoint.protocol(), ec);
        if (!ec) acceptor_.set_option(net::socket_base::reuse_address(true), ec);
        if (!ec) acceptor_.bind(endpoint, ec);
        if (!ec) acceptor_.listen(net::socket_base::max_listen_connections, ec);
        if (!ec) port_ = acceptor_.local_endpoint(ec).port();
    }

    // Returns when no further socket will be handed to a loop.
    void stop_accepting()
    {
        std::promise<void> stopped;
        net::post(loops_.front()->context(), [this, &stopped] {
            closing_ = true;
            error_code ignored;
            acceptor_.close(ignored);
            pause_.cancel();
            stopped.set_value();
        });
        stopped.get_future().wait();
    }

    void accept_next()
    {
        if (closing_) return;
        Loop& loop = *loops_[next_loop_++ % loops_.size()];
        acceptor_.async_accept(loop.context(), [this, &loop](const error_code& ec, Socket socket) {
            accepted(loop, ec, std::move(socket));
        });
    }

    void accepted(Loop& loop, const error_code& ec, Socket socket)
    {
        if (closing_) return;
        if (!ec) admit(loop, std::move(socket));
        if (!ec || ec == net::error::connection_aborted) {
            accept_next();
            return;
        }
        log_warning("http: cannot accept", {{"error_code", ec.value()}});
        pause_.expires_after(accept_pause);
        pause_.async_wait([this](const error_code&) { accept_next(); });
    }

    // A full server takes the connection and closes it, so that the client does not wait in the backlog.
    void admit(Loop& loop, Socket socket)
    {
        if (shared_.connections >= shared_.options.connections_max) return;
        ++shared_.connections;
        auto adopt = [&loop, connection = std::move(socket)]() mutable { loop.adopt(std::move(connection)); };
        if (&loop == loops_.front().get()) {
            adopt();
        } else {
            net::post(loop.context(), std::move(adopt));
        }
    }

    Shared shared_;
    Loops loops_;
    net::basic_socket_acceptor<tcp, Executor> acceptor_;
    Timer pause_;
    std::uint16_t port_ = 0;
    std::size_t next_loop_ = 0;  // this and closing_: first io thread only
    bool closing_ = false;
    std::mutex mutex_;
    bool drained_ = false;
    std::vector<std::thread> threads_;
};

Server::Server(const ServerOptions& options, const Router& router, RequestObserver observer)
    : impl_(std::make_unique<Impl>(options, router, std::move(observer)))
{
}

Server::~Server() = default;

std::uint16_t Server::port() const { return impl_->port(); }

void Server::start() { impl_->start(); }

void Server::drain(std::chrono::milliseconds limit) { impl_->drain(limit); }

}  // namespace infra::http
