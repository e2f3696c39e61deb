#include "infra/http/server.hpp"

#include <doctest/doctest.h>

#include <arpa/inet.h>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <netinet/in.h>
#include <optional>
#include <poll.h>
#include <stdexcept>
#include <string>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace http = infra::http;
using namespace std::chrono_literals;

namespace {

constexpr int client_patience_ms = 10'000;

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

http::Response text(std::string body)
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

std::string get(const std::string& target, const std::string& headers = "")
{
    return "GET " + target + " HTTP/1.1\r\nHost: h\r\n" + headers + "\r\n";
}

std::string post(const std::string& headers, const std::string& body)
{
    return "POST /echo HTTP/1.1\r\nHost: h\r\n" + headers + "\r\n" + body;
}

std::string post(const std::string& body)
{
    return post("Content-Length: " + std::to_string(body.size()) + "\r\n", body);
}

bool has(const std::string& answer, std::string_view part) { return answer.find(part) != std::string::npos; }

unsigned status(const std::string& answer)
{
    return answer.starts_with("HTTP/1.1 ") ? static_cast<unsigned>(std::stoul(answer.substr(9, 3))) : 0;
}

std::string body(const std::string& answer)
{
    const std::size_t end = answer.find("\r\n\r\n");
    return end == std::string::npos ? "" : answer.substr(end + 4);
}

// Sends `bytes`, expects one refusal in the shape of all refusals, then the end of the connection.
void check_refused(Fixture& fixture, const std::string& bytes, unsigned expected)
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

}  // namespace

TEST_SUITE("http server")
{
    TEST_CASE("an answer has a date and a length, and no server name")
    {
        Fixture fixture;
        const std::string answer = fixture.once(get("/health"));
        CHECK(answer.starts_with("HTTP/1.1 200 OK\r\nDate: "));
        CHECK(has(answer, " GMT\r\n"));
        CHECK(has(answer, "Content-Length: 7\r\n"));
        CHECK(has(answer, "Content-Type: text/plain\r\n"));
        CHECK_FALSE(has(answer, "Server:"));
        CHECK_FALSE(has(answer, "Connection:"));
        CHECK(body(answer) == "healthy");
    }

    TEST_CASE("captures, query and headers reach the handler")
    {
        Fixture fixture;
        const std::string answer = fixture.once(get("/items/a%20b%2Fc?q=first&q=1%2B1+x", "X-Test: yes\r\n"));
        CHECK(body(answer) == "a b/c|1+1 x|/items/{id}|/items/a%20b%2Fc|yes");
        CHECK(body(fixture.once(get("/files/css/a.css"))) == "css/a.css");
        CHECK(status(fixture.once(get("/items/1?q=%zz"))) == 400);
    }

    TEST_CASE("routes that are not there")
    {
        Fixture fixture;
        const std::string missing = fixture.once(get("/nowhere"));
        CHECK(status(missing) == 404);
        CHECK(body(missing) ==
              R"({"type":"about:blank","title":"Not Found","status":404,"detail":"Not Found"})");
        const std::string method = fixture.once(get("/echo"));
        CHECK(status(method) == 405);
        CHECK(has(method, "Allow: POST\r\n"));
        CHECK(has(method, R"("detail":"Method Not Allowed")"));
        const std::string slash = fixture.once(get("/items/7/?q=1"));
        CHECK(status(slash) == 307);
        CHECK(has(slash, "Location: /items/7?q=1\r\n"));
        for (const char* path : {"/items/", "/items/%zz", "//items/7", "/items//7", "/files/../x",
                                 "/files/%2e%2e/x", "//evil/items/", "/items/7//"}) {
            CAPTURE(path);
            CHECK(status(fixture.once(get(path))) == 404);
        }
    }

    TEST_CASE("an answer to HEAD has no body")
    {
        Fixture fixture;
        Client client = fixture.client();
        client.send("HEAD /health HTTP/1.1\r\nHost: h\r\n\r\n" + get("/health"));
        CHECK(status(client.receive(false)) == 405);
        CHECK(body(client.receive()) == "healthy");
    }

    TEST_CASE("a second route of the same method and path")
    {
        http::Router router;
        router.add("GET", "/a", nullptr);
        router.add("POST", "/a", nullptr);
        CHECK_THROWS_AS(router.add("GET", "/a", nullptr), std::logic_error);
    }

    TEST_CASE("a literal segment wins against a hole, whatever the order")
    {
        http::Router router;
        router.add("GET", "/a/{*}", nullptr);
        router.add("GET", "/a/{id}", nullptr);
        router.add("GET", "/a/me", nullptr);
        CHECK(std::get<http::Match>(router.match("GET", "/a/me")).route->path == "/a/me");
        CHECK(std::get<http::Match>(router.match("GET", "/a/%6De")).route->path == "/a/me");
        CHECK(std::get<http::Match>(router.match("GET", "/a/x")).route->path == "/a/{id}");
        CHECK(std::get<http::Match>(router.match("GET", "/a/x/y")).captures.at(0) == "x/y");
    }

    TEST_CASE("smuggling shapes and malformed requests")
    {
        Fixture fixture;
        const std::string inner = post("{}");
        const std::string chunked = "2\r\n{}\r\n0\r\n\r\n";
        for (const std::string& bytes : {
                 post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n" + inner),
                 post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", chunked + inner),
                 post("Content-Length: 2\r\nContent-Length: 3\r\n", "{}" + inner),
                 post("Content-Length: 2\r\nContent-Length: 2\r\n", "{}" + inner),
                 post("Content-Length: 2, 2\r\n", "{}" + inner),
                 post("Content-Length: +2\r\n", "{}" + inner),
                 post("Content-Length: 0x2\r\n", "{}" + inner),
                 post("Content-Length: 18446744073709551618\r\n", "{}" + inner),
                 post("Transfer-Encoding: gzip\r\n", "{}" + inner),
                 post("Transfer-Encoding: gzip, chunked\r\n", chunked + inner),
                 post("Transfer-Encoding: chunked, identity\r\n", chunked + inner),
                 post("Transfer-Encoding: xchunked\r\n", chunked + inner),
                 post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", chunked + inner),
                 "POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked,
                 post("Content-Length : 2\r\n", "{}" + inner),
                 post("X-Folded: a\r\n\tTransfer-Encoding: chunked\r\nContent-Length: 2\r\n", "{}" + inner),
                 post("X-Nul: a" + std::string(1, '\0') + "\r\nContent-Length: 2\r\n", "{}"),
                 post("X-Cr: a\rTransfer-Encoding: chunked\r\nContent-Length: 2\r\n", "{}"),
                 std::string("POST /echo HTTP/1.1\nHost: h\nContent-Length: 2\n\n{}"),
                 std::string("POST /echo HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}"),
                 post("Host: i\r\nContent-Length: 2\r\n", "{}"),
                 post("Transfer-Encoding: chunked\r\n", "zz\r\n{}\r\n0\r\n\r\n"),
                 post("Transfer-Encoding: chunked\r\n", "fffffffffffffffff\r\n{}\r\n0\r\n\r\n"),
                 post("Transfer-Encoding: chunked\r\n", "1\r\n{}\r\n0\r\n\r\n"),
                 get("/health", "Content-Length: 2\r\n") + "{}",
                 get("/health", "Transfer-Encoding: chunked\r\n") + chunked,
                 get("http://h/health"),
                 get("*"),
                 get("health"),
                 std::string("GET /health\r\n\r\n"),
                 std::string("GET /health HTTP/2.0\r\nHost: h\r\n\r\n"),
                 std::string("\x16\x03\x01 tls\r\n\r\n"),
             }) {
            check_refused(fixture, bytes, 400);
        }
        check_refused(fixture, post("Content-Length: 2\r\nExpect: magic\r\n", ""), 417);
    }

    TEST_CASE("limits of header and body")
    {
        http::ServerOptions options;
        options.header_bytes_max = 2048;
        options.body_bytes_max = 1000;
        Fixture fixture(options);
        check_refused(fixture, get("/health", "X-Big: " + std::string(4000, 'a') + "\r\n"), 431);
        check_refused(fixture, get("/" + std::string(300'000, 'a')).substr(0, 300'000), 431);
        check_refused(fixture, post("Content-Length: 1001\r\n", ""), 413);
        check_refused(fixture, post("Content-Length: 1001\r\nExpect: 100-continue\r\n", ""), 413);
        check_refused(
            fixture,
            post("Transfer-Encoding: chunked\r\n", "3e9\r\n" + std::string(1001, 'c') + "\r\n0\r\n\r\n"),
            413);
        CHECK(status(fixture.once(post(std::string(1000, 'x')))) == 200);
        CHECK(status(fixture.once(get("/health", "X-Big: " + std::string(1900, 'a') + "\r\n"))) == 200);
    }

    TEST_CASE("a client that sends on after a refusal still reads it")
    {
        http::ServerOptions options;
        options.body_bytes_max = 1000;
        Fixture fixture(options);
        Client client = fixture.client();
        client.send(post("Content-Length: 50000\r\n", std::string(50'000, 'x')));
        CHECK(status(client.receive()) == 413);
    }

    TEST_CASE("endless chunk extensions are refused")
    {
        Fixture fixture;
        Client client = fixture.client();
        client.send(post("Transfer-Encoding: chunked\r\n", "1;" + std::string(300'000, 'x')));
        CHECK(status(client.receive()) == 400);
    }

    TEST_CASE("a slow request has one deadline for all of it")
    {
        http::ServerOptions options;
        options.read_timeout = 300ms;
        Fixture fixture(options);
        for (const std::string& bytes : {get("/health"), post("Content-Length: 1000\r\n", "")}) {
            Client client = fixture.client();
            const auto start = std::chrono::steady_clock::now();
            client.send(bytes.substr(0, bytes.size() - 2));
            if (bytes.starts_with("POST")) client.send("\r\n");
            for (int turn = 0; turn < 20 && client.silent_for(50ms); ++turn) client.send("x");
            CHECK(client.receive_to_end() == std::optional<std::string>(""));
            CHECK(std::chrono::steady_clock::now() - start < 2s);
        }
    }

    TEST_CASE("an idle connection is closed in its own time")
    {
        http::ServerOptions options;
        options.idle_timeout = 200ms;
        Fixture fixture(options);
        Client client = fixture.client();
        client.send(get("/health"));
        CHECK(status(client.receive()) == 200);
        CHECK(client.receive_to_end() == std::optional<std::string>(""));
    }

    TEST_CASE("a client that reads nothing is cut off")
    {
        http::ServerOptions options;
        options.write_timeout = 200ms;
        Fixture fixture(options);
        Client client = fixture.client();
        client.send(get("/big"));
        std::this_thread::sleep_for(600ms);
        const auto received = client.receive_to_end();
        REQUIRE(received.has_value());
        CHECK(received->size() < 8'000'000);
    }

    TEST_CASE("a big answer arrives whole")
    {
        Fixture fixture;
        CHECK(body(fixture.once(get("/big"))).size() == 8'000'000);
    }

    TEST_CASE("a request that ends early is refused")
    {
        Fixture fixture;
        Client client = fixture.client();
        client.send(post("Content-Length: 10\r\n", "abc"));
        client.finish_sending();
        CHECK(status(client.receive()) == 400);
    }

    TEST_CASE("pipelined requests are answered in order")
    {
        Fixture fixture;
        Client client = fixture.client();
        std::string bytes;
        for (int number = 0; number < 200; ++number) bytes += post("number " + std::to_string(number));
        client.send(bytes);
        for (int number = 0; number < 200; ++number) {
            CHECK(body(client.receive()) == "number " + std::to_string(number));
        }
    }

    TEST_CASE("a later answer does not overtake an earlier one")
    {
        Fixture fixture;
        Client client = fixture.client();
        client.send(get("/later") + get("/health"));
        const http::Reply reply = fixture.desk().take();
        CHECK(client.silent_for(100ms));
        reply(text("first"));
        CHECK(body(client.receive()) == "first");
        CHECK(body(client.receive()) == "healthy");
    }

    TEST_CASE("the request decides whether the connection is kept")
    {
        Fixture fixture;
        Client closing = fixture.client();
        closing.send(get("/health", "Connection: close\r\n"));
        CHECK(has(closing.receive(), "Connection: close\r\n"));
        CHECK(closing.receive_to_end() == std::optional<std::string>(""));
        Client old = fixture.client();
        old.send("GET /health HTTP/1.0\r\n\r\n");
        CHECK(has(old.receive(), "Connection: close\r\n"));
        CHECK(old.receive_to_end() == std::optional<std::string>(""));
        Client old_kept = fixture.client();
        old_kept.send("GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /health HTTP/1.0\r\n\r\n");
        CHECK(has(old_kept.receive(), "Connection: keep-alive\r\n"));
        CHECK(body(old_kept.receive()) == "healthy");
    }

    TEST_CASE("a chunked body, byte by byte, trailers left out")
    {
        Fixture fixture;
        Client client = fixture.client();
        const std::string bytes =
            post("Transfer-Encoding: chunked\r\n", "3;x=y\r\nabc\r\n1\r\nd\r\n0\r\nHost: evil\r\n\r\n");
        for (const char byte : bytes) client.send(std::string(1, byte));
        CHECK(body(client.receive()) == "abcd");
        client.send(post("next"));
        CHECK(body(client.receive()) == "next");
    }

    TEST_CASE("100-continue is answered before the body")
    {
        Fixture fixture;
        Client client = fixture.client();
        client.send(post("Content-Length: 4\r\nExpect: 100-Continue\r\n", ""));
        CHECK(client.receive(false) == "HTTP/1.1 100 Continue\r\n\r\n");
        client.send("body");
        CHECK(body(client.receive()) == "body");
    }

    TEST_CASE("replies from another thread, in any order, on several io threads")
    {
        http::ServerOptions options;
        options.threads = 3;
        Fixture fixture(options);
        std::deque<Client> clients;
        for (int number = 0; number < 60; ++number) {
            clients.emplace_back(fixture.server().port());
            clients.back().send(get("/later"));
        }
        std::vector<http::Reply> replies;
        for (int number = 0; number < 60; ++number) replies.push_back(fixture.desk().take());
        std::thread writer([&] {
            for (const http::Reply& reply : replies) {
                reply(text("once"));
                reply(text("twice"));  // must be harmless
            }
        });
        for (Client& client : clients) CHECK(body(client.receive()) == "once");
        writer.join();
        clients.front().send(get("/health"));
        CHECK(body(clients.front().receive()) == "healthy");
    }

    TEST_CASE("a dropped reply and a failing handler are answered 500")
    {
        Fixture fixture;
        for (const char* path : {"/dropped", "/throws"}) {
            const std::string answer = fixture.once(get(path));
            CHECK(status(answer) == 500);
            CHECK(has(answer, R"("detail":"Internal Server Error")"));
            CHECK_FALSE(has(answer, "secret"));
        }
        Client client = fixture.client();
        client.send(get("/later"));
        {
            const http::Reply dropped_here = fixture.desk().take();
        }
        CHECK(status(client.receive()) == 500);
    }

    TEST_CASE("a reply whose client or server is gone")
    {
        http::Reply after_server;
        {
            Fixture fixture;
            {
                Client client = fixture.client();
                client.send(get("/later"));
                after_server = fixture.desk().take();
                client.send(get("/later"));
            }
            after_server(text("nobody reads this"));
            Client client = fixture.client();
            client.send(get("/later"));
            after_server = fixture.desk().take();
        }
        after_server(text("nobody at all"));
    }

    TEST_CASE("line breaks do not leave in header values")
    {
        Fixture fixture;
        CHECK(has(fixture.once(get("/split")), "\r\nX-Value: aX-Evil: 1\r\n"));
    }

    TEST_CASE("every answer is observed once, with the route and not the path")
    {
        Fixture fixture;
        fixture.once(get("/items/7"));
        fixture.once(get("/nowhere"));
        fixture.once("BREW /health HTTP/1.1\r\nHost: h\r\n\r\n");
        const auto observed = fixture.observed(3);
        REQUIRE(observed.size() == 3);
        CHECK(observed[0].method == "GET");
        CHECK(observed[0].route == "/items/{id}");
        CHECK(observed[0].status == 200);
        CHECK(observed[1].route.empty());
        CHECK(observed[1].status == 404);
        CHECK(observed[2].method == "other");
        CHECK(observed[2].status == 405);
    }

    TEST_CASE("connections beyond the maximum are closed, and places become free again")
    {
        http::ServerOptions options;
        options.connections_max = 2;
        Fixture fixture(options);
        {
            Client first = fixture.client();
            Client second = fixture.client();
            first.send(get("/health"));
            second.send(get("/health"));
            CHECK(status(first.receive()) == 200);
            CHECK(status(second.receive()) == 200);
            Client third = fixture.client();
            CHECK(third.receive_to_end() == std::optional<std::string>(""));
        }
        bool served = false;
        for (int turn = 0; turn < 200 && !served; ++turn) {
            served = status(fixture.once(get("/health"))) == 200;
            if (!served) std::this_thread::sleep_for(10ms);
        }
        CHECK(served);
    }

    TEST_CASE("an address in use")
    {
        Fixture fixture;
        http::ServerOptions options;
        options.port = fixture.server().port();
        const http::Router router;
        CHECK_THROWS_AS(http::Server(options, router, {}), std::system_error);
    }

    TEST_CASE("drain answers what is in progress, closes what is idle and returns")
    {
        http::ServerOptions options;
        options.threads = 2;
        Fixture fixture(options);
        Client idle = fixture.client();
        Client kept = fixture.client();
        kept.send(get("/health"));
        CHECK(status(kept.receive()) == 200);
        Client busy = fixture.client();
        busy.send(get("/later"));
        const http::Reply reply = fixture.desk().take();
        Client half = fixture.client();
        half.send("POST /echo HTTP/1.1\r\nHost: h\r\n");
        std::this_thread::sleep_for(100ms);

        std::atomic<bool> drained = false;
        std::thread stopper([&] {
            fixture.server().drain(5s);
            drained = true;
        });
        CHECK(idle.receive_to_end() == std::optional<std::string>(""));
        CHECK(kept.receive_to_end() == std::optional<std::string>(""));
        CHECK_FALSE(fixture.client().connected());
        CHECK_FALSE(drained.load());
        half.send("Content-Length: 4\r\n\r\nhalf");
        const std::string finished = half.receive();
        CHECK(body(finished) == "half");
        CHECK(has(finished, "Connection: close\r\n"));
        reply(text("busy"));
        const std::string answer = busy.receive();
        CHECK(body(answer) == "busy");
        CHECK(has(answer, "Connection: close\r\n"));
        stopper.join();
        fixture.server().drain(5s);
    }

    TEST_CASE("drain cuts after its limit, and a late reply is harmless")
    {
        Fixture fixture;
        Client busy = fixture.client();
        busy.send(get("/later"));
        const http::Reply reply = fixture.desk().take();
        const auto start = std::chrono::steady_clock::now();
        fixture.server().drain(200ms);
        const auto taken = std::chrono::steady_clock::now() - start;
        CHECK(taken >= 200ms);
        CHECK(taken < 2s);
        CHECK(busy.receive_to_end() == std::optional<std::string>(""));
        reply(text("late"));
    }

    TEST_CASE("drain under load, many times")
    {
        for (int round = 0; round < 20; ++round) {
            http::ServerOptions options;
            options.threads = 2;
            Fixture fixture(options);
            std::atomic<bool> stop = false;
            std::vector<std::thread> clients;
            for (int number = 0; number < 4; ++number) {
                clients.emplace_back([&] {
                    while (!stop) fixture.once(get("/health"));
                });
            }
            std::this_thread::sleep_for(20ms);
            fixture.server().drain(1s);
            stop = true;
            for (std::thread& client : clients) client.join();
        }
    }

    TEST_CASE("a server that was never started")
    {
        const http::Router router;
        http::Server server({}, router, {});
        CHECK(server.port() != 0);
        server.drain(1s);
    }
}
