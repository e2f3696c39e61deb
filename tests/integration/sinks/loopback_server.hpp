#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/streambuf.hpp>
#include <boost/asio/write.hpp>

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <functional>
#include <istream>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <sys/socket.h>
#include <thread>
#include <utility>
#include <vector>

// A destination for the tests of sinks: blocking sockets, a thread for each connection.
namespace sink_support {

using boost::asio::ip::tcp;

struct Request {
    std::string line;
    std::map<std::string, std::string> headers;  // names in lower case
    std::string body;
};

struct Reply {
    std::string bytes;  // as they go over the wire; empty with `hang` unset = close without an answer
    bool close = false;
    bool hang = false;  // say no more, until the client goes away
};

inline Reply reply(unsigned status, const std::string& headers = {}, const std::string& body = {})
{
    return {.bytes = "HTTP/1.1 " + std::to_string(status) + " X\r\n" + headers +
                     "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body};
}

class LoopbackServer {
public:
    using Handler = std::function<Reply(const Request&)>;

    explicit LoopbackServer(Handler handler)
        : handler_(std::move(handler)),
          acceptor_(io_, {boost::asio::ip::address_v4::loopback(), 0}),
          port_(acceptor_.local_endpoint().port()),
          accepting_([this] { accept_all(); })
    {
    }

    ~LoopbackServer()
    {
        // shutdown() ends a blocking accept(); close() alone would not.
        ::shutdown(acceptor_.native_handle(), SHUT_RDWR);
        accepting_.join();
        for (const auto& socket : sockets_) ::shutdown(socket->native_handle(), SHUT_RDWR);
        for (std::thread& thread : threads_) thread.join();
    }

    LoopbackServer(const LoopbackServer&) = delete;
    LoopbackServer& operator=(const LoopbackServer&) = delete;

    std::string url() const { return "http://127.0.0.1:" + std::to_string(port_) + "/hook?a=1"; }

    std::vector<Request> requests() const
    {
        const std::lock_guard lock(mutex_);
        return requests_;
    }

    std::size_t connections() const
    {
        const std::lock_guard lock(mutex_);
        return sockets_.size();
    }

private:
    void accept_all()
    {
        for (;;) {
            auto socket = std::make_unique<tcp::socket>(io_);
            boost::system::error_code error;
            acceptor_.accept(*socket, error);
            if (error) return;
            tcp::socket& connection = *socket;
            const std::lock_guard lock(mutex_);
            sockets_.push_back(std::move(socket));
            threads_.emplace_back([this, &connection] { serve(connection); });
        }
    }

    void serve(tcp::socket& socket)
    {
        boost::asio::streambuf buffer;
        Request request;
        while (read(socket, buffer, request)) {
            {
                const std::lock_guard lock(mutex_);
                requests_.push_back(request);
            }
            const Reply answer = handler_(request);
            boost::system::error_code error;
            boost::asio::write(socket, boost::asio::buffer(answer.bytes), error);
            if (answer.hang) boost::asio::read(socket, buffer, error);
            if (error || answer.close || answer.bytes.empty()) break;
        }
        ::shutdown(socket.native_handle(), SHUT_RDWR);
    }

    static bool read(tcp::socket& socket, boost::asio::streambuf& buffer, Request& request)
    {
        boost::system::error_code error;
        boost::asio::read_until(socket, buffer, "\r\n\r\n", error);
        if (error) return false;
        std::istream in(&buffer);
        request = {};
        request.line = next_line(in);
        for (std::string line = next_line(in); !line.empty(); line = next_line(in)) {
            const std::size_t colon = line.find(": ");
            std::string name = line.substr(0, colon);
            std::transform(name.begin(), name.end(), name.begin(),
                           [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
            request.headers[name] = colon == std::string::npos ? "" : line.substr(colon + 2);
        }
        const std::string length = request.headers["content-length"];
        request.body.resize(length.empty() ? 0 : std::stoul(length));
        if (request.body.size() > buffer.size()) {
            boost::asio::read(socket, buffer,
                              boost::asio::transfer_exactly(request.body.size() - buffer.size()), error);
        }
        in.read(request.body.data(), static_cast<std::streamsize>(request.body.size()));
        return !error;
    }

    static std::string next_line(std::istream& in)
    {
        std::string line;
        std::getline(in, line);
        if (!line.empty() && line.back() == '\r') line.pop_back();
        return line;
    }

    const Handler handler_;
    boost::asio::io_context io_;
    tcp::acceptor acceptor_;
    const unsigned port_;

    mutable std::mutex mutex_;
    std::vector<Request> requests_;                      // guarded by mutex_
    std::vector<std::unique_ptr<tcp::socket>> sockets_;  // guarded by mutex_ while accepting_ runs
    std::vector<std::thread> threads_;                   // as sockets_

    std::thread accepting_;  // last: it uses all of the above
};

}  // namespace sink_support
