// Open-loop load: requests are due at fixed moments, whatever the server does, and latency counts from the
// moment a request was due, so a stall is seen by everything that should have been sent meanwhile. The first
// second is sent and not counted.
//   bench-open-loop PORT RUN RATE_PER_SECOND SECONDS CONNECTIONS [SERVICE]
// SERVICE: events of this service alone, all with a dedupe key; else the mix of ingest.lua.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <iostream>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string>
#include <string_view>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

// Latencies in buckets whose width is at most 1/64 of their value: an HDR histogram of 1 us to an hour.
class Histogram {
public:
    void add(std::chrono::nanoseconds latency)
    {
        const auto us = static_cast<std::uint64_t>(std::max<std::int64_t>(latency.count() / 1000, 0));
        ++counts_[index_of(us)];
        ++total_;
    }
    double percentile_ms(double percent) const
    {
        const auto wanted = static_cast<std::uint64_t>(static_cast<double>(total_) * percent / 100.0);
        std::uint64_t seen = 0;
        for (std::size_t i = 0; i < counts_.size(); ++i) {
            seen += counts_[i];
            if (seen > wanted || seen == total_) return static_cast<double>(upper_bound(i)) / 1000.0;
        }
        return 0;
    }
    std::uint64_t total() const { return total_; }

private:
    static constexpr unsigned sub_bits = 6;
    static constexpr std::uint64_t sub_count = 1U << sub_bits;

    static std::size_t index_of(std::uint64_t us)
    {
        if (us < 2 * sub_count) return us;
        unsigned shift = 0;
        while (us >> shift >= 2 * sub_count) ++shift;
        return std::min<std::size_t>(sub_count * shift + (us >> shift), buckets - 1);
    }
    static std::uint64_t upper_bound(std::size_t index)
    {
        if (index < 2 * sub_count) return index;
        const auto shift = index / sub_count - 1;
        return (index - sub_count * shift + 1) << shift;
    }

    static constexpr std::size_t buckets = 2048;
    std::array<std::uint64_t, buckets> counts_{};
    std::uint64_t total_ = 0;
};

struct Connection {
    int fd = -1;
    Clock::time_point due{};
    std::string answer = {};
};

int connect_to(std::uint16_t port)
{
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) std::exit(1);
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

constexpr std::array<std::string_view, 4> services{"health", "energy", "transport", "security"};

std::string request_of(std::uint64_t n, std::string_view only)
{
    const auto number = std::to_string(n);
    const std::array bodies{R"({"patient_id":)" + number + R"(,"alert":"emergency","location":"ward 7"})",
                            R"({"energy":650.5,"neighborhood":"district )" + number + R"("})",
                            R"({"bus_id":)" + number + R"(,"lat":41.381,"lon":2.171})",
                            R"({"alert":true,"camera_trigger":"camera )" + number + R"("})"};
    const auto found = std::find(services.begin(), services.end(), only);
    const auto kind =
        found == services.end() ? n % services.size() : static_cast<std::size_t>(found - services.begin());
    std::string text = "POST /ingest/";
    text += services.at(kind);
    if (!only.empty() || n / services.size() % 2 == 0) text += "?dedupe_key=request-" + number;
    return text + " HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: " +
           std::to_string(bodies.at(kind).size()) + "\r\n\r\n" + bodies.at(kind);
}

// True when a whole answer has arrived.
bool complete(std::string_view answer)
{
    const auto end = answer.find("\r\n\r\n");
    if (end == std::string_view::npos) return false;
    constexpr std::string_view length =
        "ontent-";  // Content-Length or content-length; Content-Type has no digits
    std::size_t body = 0;
    for (auto at = answer.find(length); at < end; at = answer.find(length, at + 1)) {
        if (const auto colon = answer.find(": ", at); answer.substr(at + length.size() + 1, 5) == "ength")
            body = std::strtoull(answer.data() + colon + 2, nullptr, 10);
    }
    return answer.size() >= end + 4 + body;
}

class Load {
public:
    Load(std::uint16_t port, std::uint64_t run, double rate, std::size_t connections, std::string service)
        : interval_(std::chrono::nanoseconds(static_cast<std::int64_t>(1e9 / rate))),
          next_number_(run * 10'000'000),
          service_(std::move(service))
    {
        connections_.resize(connections);
        for (auto& connection : connections_) {
            connection.fd = connect_to(port);
            idle_.push_back(&connection);
            watch(connection.fd, &connection);
        }
        watch(timer_, nullptr);
    }
    Load(const Load&) = delete;
    Load& operator=(const Load&) = delete;
    ~Load()
    {
        for (const auto& connection : connections_) close(connection.fd);
        close(timer_);
        close(epoll_);
    }

    void run(std::chrono::seconds duration)
    {
        next_due_ = Clock::now();
        counted_from_ = next_due_ + std::chrono::seconds(1);
        const auto end = counted_from_ + duration;
        while (next_due_ < end || idle_.size() < connections_.size()) {
            send_due(end);
            wait();
        }
    }

    void print() const
    {
        std::cout << "{\"requests\":" << latencies_.total() << ",\"bad\":" << bad_;
        for (const auto& [name, percent] :
             {std::pair{"p50", 50.0}, {"p90", 90.0}, {"p99", 99.0}, {"p999", 99.9}, {"max", 100.0}})
            std::cout << ",\"" << name << "_ms\":" << latencies_.percentile_ms(percent);
        std::cout << "}\n";
    }

private:
    void watch(int fd, Connection* connection) const
    {
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.ptr = connection;
        epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
    }

    // A request whose moment has come while every connection is busy goes out late, and its latency says so.
    void send_due(Clock::time_point end)
    {
        for (const auto now = Clock::now(); next_due_ <= now && next_due_ < end && !idle_.empty();
             next_due_ += interval_) {
            Connection& connection = *idle_.front();
            idle_.pop_front();
            connection.due = next_due_;
            const auto text = request_of(next_number_++, service_);
            if (write(connection.fd, text.data(), text.size()) != static_cast<ssize_t>(text.size()))
                std::exit(1);
        }
        arm(end);
    }

    void arm(Clock::time_point end) const
    {
        itimerspec at{};
        const bool waiting = next_due_ < end && !idle_.empty();
        if (waiting) {
            const auto since = next_due_.time_since_epoch();
            at.it_value.tv_sec = std::chrono::duration_cast<std::chrono::seconds>(since).count();
            at.it_value.tv_nsec = (since % std::chrono::seconds(1)).count();
        }
        timerfd_settime(timer_, TFD_TIMER_ABSTIME, &at, nullptr);
    }

    void wait()
    {
        std::array<epoll_event, 64> events{};
        const int count = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), 100);
        for (int i = 0; i < count; ++i) {
            auto* connection = static_cast<Connection*>(events.at(static_cast<std::size_t>(i)).data.ptr);
            if (connection == nullptr) {
                std::uint64_t expirations = 0;
                static_cast<void>(!read(timer_, &expirations, sizeof expirations));
            } else {
                receive(*connection);
            }
        }
    }

    void receive(Connection& connection)
    {
        std::array<char, 4096> buffer{};
        const auto size = read(connection.fd, buffer.data(), buffer.size());
        if (size <= 0) std::exit(1);
        connection.answer.append(buffer.data(), static_cast<std::size_t>(size));
        if (!complete(connection.answer)) return;
        if (connection.due >= counted_from_) latencies_.add(Clock::now() - connection.due);
        if (!connection.answer.starts_with("HTTP/1.1 200")) ++bad_;
        connection.answer.clear();
        idle_.push_back(&connection);
    }

    const int epoll_ = epoll_create1(0);
    const int timer_ = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    const Clock::duration interval_;
    std::vector<Connection> connections_;
    std::deque<Connection*> idle_;
    std::uint64_t next_number_;
    const std::string service_;
    Clock::time_point next_due_{};
    Clock::time_point counted_from_{};
    Histogram latencies_;
    std::uint64_t bad_ = 0;
};

}  // namespace

int main(int argc, char** argv)
{
    if (argc != 6 && argc != 7) return 2;
    Load load(static_cast<std::uint16_t>(std::atoi(argv[1])), std::strtoull(argv[2], nullptr, 10),
              std::atof(argv[3]), std::strtoull(argv[5], nullptr, 10), argc == 7 ? argv[6] : "");
    load.run(std::chrono::seconds(std::atoi(argv[4])));
    load.print();
    return 0;
}
