#pragma once

#include "infra/http/server.hpp"

#include <doctest/doctest.h>

#include <arpa/inet.h>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <netinet/in.h>
#include <optional>
#include <poll.h>
#include <stdexcept>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

// A real server with made-up handlers, and clients that send any bytes.
namespace polis_test {

namespace http = infra::http;
using namespace std::chrono_literals;

inline constexpr int client_patience_ms = 10'000;

// A client that sends any bytes.
class Client {
public:
    explicit Client(std::uint16_t port) : socket_(::socket(AF_INET, SOCK_STREAM, 0))
    {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(port);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): the socket interface wants it
        connected_ = ::connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    }
    ~Client() { ::close(socket_); }
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;

    bool connected() const { return connected_; }

    bool send(std::string_view bytes) const
    {
        while (!bytes.empty()) {
            const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (sent <= 0) return false;
            bytes.remove_prefix(static_cast<std::size_t>(sent));
        }
        return true;
    }

    void finish_sending() const { ::shutdown(socket_, SHUT_WR); }

    // One answer, header and body; empty when the connection ends before.
    std::string receive(bool body_follows = true)
    {
        for (;;) {
            const std::size_t end = input_.find("\r\n\r\n");
            if (end != std::string::npos) {
                const std::size_t size = end + 4 + (body_follows ? length(input_.substr(0, end)) : 0);
                if (input_.size() >= size) {
                    std::string answer = input_.substr(0, size);
                    input_.erase(0, size);
                    return answer;
                }
            }
            if (!more()) return {};
        }
    }

    // Everything until the server closes; nothing when it does not.
    std::optional<std::string> receive_to_end()
    {
        while (more()) {
        }
        if (timed_out_) return std::nullopt;
        return input_;
    }

    bool silent_for(std::chrono::milliseconds time)
    {
        pollfd waiting{socket_, POLLIN, 0};
        return input_.empty() && ::poll(&waiting, 1, static_cast<int>(time.count())) == 0;
    }

private:
    static std::size_t length(const std::string& head)
    {
        const std::size_t at = head.find("Content-Length: ");
        return at == std::string::npos ? 0 : std::stoul(head.substr(at + 16));
    }

    bool more()
    {
        pollfd waiting{socket_, POLLIN, 0};
        if (::poll(&waiting, 1, client_patience_ms) <= 0) {
            timed_out_ = true;
            return false;
        }
        char chunk[4096];
        const ssize_t size = ::recv(socket_, chunk, sizeof chunk, 0);
        if (size <= 0) return false;
        input_.append(chunk, static_cast<std::size_t>(size));
        return true;
    }

    int socket_;
    bool connected_ = false;
    bool timed_out_ = false;
    std::string input_;
};

// Keeps the replies of the requests to /later, for a test to answer or to drop them.
class Desk {
public:
    void put(http::Reply reply)
    {
        const std::lock_guard lock(mutex_);
        replies_.push_back(std::move(reply));
        arrived_.notify_all();
    }

    http::Reply take()
    {
        std::unique_lock lock(mutex_);
        if (!arrived_.wait_for(lock, 10s, [&] { return !replies_.empty(); }))
            throw std::runtime_error("no request");
        http::Reply reply = std::move(replies_.front());
        replies_.pop_front();
        return reply;
    }

private:
    std::mutex mutex_;
    std::condition_variable arrived_;
    std::deque<http::Reply> replies_;
};

inline http::Response text(std::string body)
{
    http::Response response;
    response.content_type = "text/plain";
    response.body = std::move(body);
    return response;
}

struct Observed {
    std::string method;
    std::string route;
    unsigned status;
};

class Fixture {
public:
    explicit Fixture(http::ServerOptions options = {}) : server_(options, table(), observer())
    {
        server_.start();
    }

    Client client() const { return Client(server_.port()); }
    http::Server& server() { return server_; }
    Desk& desk() { return desk_; }

    std::string once(std::string_view request, bool body_follows = true) const
    {
        Client connection(server_.port());
        connection.send(request);
        return connection.receive(body_follows);
    }

    // The observer is told after the client has its answer.
    std::vector<Observed> observed(std::size_t count)
    {
        for (int turn = 0; turn < 1000; ++turn) {
            {
                const std::lock_guard lock(mutex_);
                if (observed_.size() >= count) return observed_;
            }
            std::this_thread::sleep_for(5ms);
        }
        return {};
    }

private:
    const http::Router& table()
    {
        router_.add("GET", "/health",
                    [](http::Request&&, const http::Reply& reply) { reply(text("healthy")); });
        router_.add("POST", "/echo", [](http::Request&& request, const http::Reply& reply) {
            reply(text(std::move(request.body)));
        });
        router_.add("GET", "/items/{id}", [](http::Request&& request, const http::Reply& reply) {
            const std::string* q = request.query_value("q");
            reply(text(request.captures.at(0) + "|" + (q == nullptr ? "-" : *q) + "|" + request.route + "|" +
                       request.path + "|" + std::string(request.header("x-test"))));
        });
        router_.add("GET", "/files/{*}", [](http::Request&& request, const http::Reply& reply) {
            reply(text(request.captures.at(0)));
        });
        router_.add("GET", "/later",
                    [this](http::Request&&, http::Reply reply) { desk_.put(std::move(reply)); });
        router_.add("GET", "/throws",
                    [](http::Request&&, const http::Reply&) { throw std::runtime_error("secret text"); });
        router_.add("GET", "/dropped", [](http::Request&&, const http::Reply&) {});
        router_.add("GET", "/big", [](http::Request&&, const http::Reply& reply) {
            reply(text(std::string(8'000'000, 'b')));
        });
        router_.add("GET", "/split", [](http::Request&&, const http::Reply& reply) {
            http::Response response = text("x");
            response.headers.push_back({"X-Value", "a\r\nX-Evil: 1"});
            reply(std::move(response));
        });
        return router_;
    }

    http::RequestObserver observer()
    {
        return [this](std::string_view method, std::string_view route, unsigned status,
                      std::chrono::nanoseconds) {
            const std::lock_guard lock(mutex_);
            observed_.push_back({std::string(method), std::string(route), status});
        };
    }

    std::mutex mutex_;
    std::vector<Observed> observed_;
    Desk desk_;
    http::Router router_;
    http::Server server_;
};

inline std::string get(const std::string& target, const std::string& headers = "")
{
    return "GET " + target + " HTTP/1.1\r\nHost: h\r\n" + headers + "\r\n";
}

inline std::string post(const std::string& headers, const std::string& body)
{
    return "POST /echo HTTP/1.1\r\nHost: h\r\n" + headers + "\r\n" + body;
}

inline std::string post(const std::string& body)
{
    return post("Content-Length: " + std::to_string(body.size()) + "\r\n", body);
}

inline bool has(const std::string& answer, std::string_view part)
{
    return answer.find(part) != std::string::npos;
}

inline unsigned status(const std::string& answer)
{
    return answer.starts_with("HTTP/1.1 ") ? static_cast<unsigned>(std::stoul(answer.substr(9, 3))) : 0;
}

inline std::string body(const std::string& answer)
{
    const std::size_t end = answer.find("\r\n\r\n");
    return end == std::string::npos ? "" : answer.substr(end + 4);
}

// Sends `bytes`, expects one refusal in the shape of all refusals, then the end of the connection.
inline void check_refused(Fixture& fixture, const std::string& bytes, unsigned expected)
{
    CAPTURE(bytes.substr(0, 200));
    Client client = fixture.client();
    client.send(bytes);
    const std::string answer = client.receive();
    CHECK(status(answer) == expected);
    CHECK(has(answer, "Content-Type: application/problem+json\r\n"));
    CHECK(has(answer, "Connection: close\r\n"));
    CHECK(has(body(answer), "\"status\":" + std::to_string(expected)));
    CHECK(client.receive_to_end() == std::optional<std::string>(""));
}

}  // namespace polis_test
