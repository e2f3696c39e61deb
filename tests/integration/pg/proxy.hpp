#pragma once

#include <arpa/inet.h>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <netinet/in.h>
#include <poll.h>
#include <stdexcept>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <sys/un.h>
#include <thread>
#include <unistd.h>
#include <vector>

// A loopback door to the cluster's Unix socket that can be slammed at one place of the protocol.
namespace pg_support {

class Proxy {
public:
    enum class Cut {
        nowhere,
        before_commit,   // what holds the COMMIT does not reach the server
        after_commit,    // the server has committed, its answer does not reach the client
        before_anything  // a connection ends at the client's first byte
    };

    explicit Proxy(const std::string& socket_directory) : server_path_(socket_directory + "/.s.PGSQL.5432")
    {
        listener_ = socket(AF_INET, SOCK_STREAM, 0);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        if (bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
            ::listen(listener_, 8) != 0 ||
            getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0)
            throw std::runtime_error("the proxy cannot listen");
        port_ = ntohs(address.sin_port);
        thread_ = std::thread([this] { serve(); });
    }

    ~Proxy()
    {
        stopping_ = true;
        thread_.join();
        close(listener_);
    }

    Proxy(const Proxy&) = delete;
    Proxy& operator=(const Proxy&) = delete;

    // Holds for connections that are open and for those to come, until it has cut one.
    void cut(Cut where) { cut_ = where; }
    bool has_cut() const { return cut_ == Cut::nowhere; }

    std::string parameters() const
    {
        return "host=127.0.0.1 port=" + std::to_string(port_) + " sslmode=disable gssencmode=disable";
    }

private:
    // Bind of the unnamed portal to the prepared statement "commit".
    static constexpr std::string_view commit_bind{"\0commit\0", 8};

    void serve()
    {
        while (!stopping_) {
            pollfd waiting{listener_, POLLIN, 0};
            if (poll(&waiting, 1, 20) != 1) continue;
            const int client = accept(listener_, nullptr, nullptr);
            if (client >= 0) relay(client);  // the writer has one connection at a time
        }
    }

    void relay(int client)
    {
        const int server = socket(AF_UNIX, SOCK_STREAM, 0);
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::strncpy(address.sun_path, server_path_.c_str(), sizeof address.sun_path - 1);
        if (connect(server, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) {
            while (!stopping_ && step(client, server)) {
            }
        }
        close(server);
        close(client);
    }

    bool step(int client, int server)
    {
        pollfd both[] = {{client, POLLIN, 0}, {server, POLLIN, 0}};
        if (poll(both, 2, 20) < 0) return false;
        if (both[0].revents != 0 && !from_client(client, server)) return false;
        return both[1].revents == 0 || pass(server, client);
    }

    bool from_client(int client, int server)
    {
        if (cut_ == Cut::before_anything) return slam();
        if (!receive(client)) return false;
        const bool commits = seen_.find(commit_bind) != std::string::npos;
        seen_.erase(0, seen_.size() > 64 ? seen_.size() - 64 : 0);
        if (commits) seen_.clear();
        if (commits && cut_ == Cut::before_commit) return slam();
        if (!send_all(server)) return false;
        if (commits && cut_ == Cut::after_commit) {
            wait_for_the_end_of(server);
            return slam();
        }
        return true;
    }

    // The server answers a COMMIT with CommandComplete "COMMIT".
    void wait_for_the_end_of(int server)
    {
        std::string answer;
        while (answer.find("COMMIT") == std::string::npos) {
            char buffer[4096];
            const auto size = recv(server, buffer, sizeof buffer, 0);
            if (size <= 0) return;
            answer.append(buffer, static_cast<std::size_t>(size));
        }
    }

    bool slam()
    {
        cut_ = Cut::nowhere;
        return false;
    }

    bool receive(int from)
    {
        char buffer[65536];
        const auto size = recv(from, buffer, sizeof buffer, 0);
        if (size <= 0) return false;
        chunk_.assign(buffer, static_cast<std::size_t>(size));
        seen_ += chunk_;
        return true;
    }

    bool pass(int from, int to)
    {
        char buffer[65536];
        const auto size = recv(from, buffer, sizeof buffer, 0);
        return size > 0 && send(to, buffer, static_cast<std::size_t>(size), MSG_NOSIGNAL) == size;
    }

    bool send_all(int to)
    {
        return send(to, chunk_.data(), chunk_.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(chunk_.size());
    }

    const std::string server_path_;
    int listener_ = -1;
    std::uint16_t port_ = 0;
    std::atomic<Cut> cut_ = Cut::nowhere;
    std::atomic<bool> stopping_ = false;
    std::string chunk_;  // proxy's thread only
    std::string seen_;   // the same
    std::thread thread_;
};

}  // namespace pg_support
