// A bare HTTP/1.1 receiver for load measurements: it reads each request to its end and answers 200, and does
// nothing else, so that what is measured is the sender. Prints its port, ends with SIGTERM.
//   fast-sink [DELAY_MS [SLOW_MS]]
// With delays each answer waits for DELAY_MS, every 40th for SLOW_MS: a p50 and a p99 that are known
// beforehand.
#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string>
#include <string_view>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <unordered_map>

namespace {

constexpr std::string_view answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
constexpr int backlog = 1024;

[[noreturn]] void fail(const char* what)
{
    std::perror(what);
    std::exit(1);
}

int listen_on_loopback()
{
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (::bind(fd, reinterpret_cast<sockaddr*>(&address), size) != 0) fail("bind");
    if (::listen(fd, backlog) != 0) fail("listen");
    ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
    std::printf("%d\n", ntohs(address.sin_port));
    std::fflush(stdout);
    return fd;
}

// The length of the first whole request in `text`, or 0.
std::size_t request_length(std::string_view text)
{
    const auto head = text.find("\r\n\r\n");
    if (head == std::string_view::npos) return 0;
    constexpr std::string_view name = "\r\ncontent-length:";
    const auto same = [](char a, char b) { return std::tolower(static_cast<unsigned char>(a)) == b; };
    const auto* const at = std::search(text.begin(), text.begin() + head, name.begin(), name.end(), same);
    std::size_t body = 0;
    if (at != text.begin() + head) {
        const char* digits = at + name.size();
        while (*digits == ' ') ++digits;
        std::from_chars(digits, text.data() + head, body);
    }
    const std::size_t whole = head + 4 + body;
    return text.size() >= whole ? whole : 0;
}

class Sink {
public:
    using Clock = std::chrono::steady_clock;

    Sink(std::chrono::milliseconds delay, std::chrono::milliseconds slow) : delay_(delay), slow_(slow) {}

    void run()
    {
        watch(listener_);
        std::array<epoll_event, 256> events{};
        for (;;) {
            const int count = ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), wait_ms());
            answer_due();
            for (int i = 0; i < count; ++i) {
                const int fd = events[static_cast<std::size_t>(i)].data.fd;
                if (fd == listener_) {
                    accept_all();
                } else {
                    serve(fd);
                }
            }
        }
    }

private:
    void watch(int fd) const
    {
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.fd = fd;
        if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) fail("epoll_ctl");
    }

    void accept_all()
    {
        for (;;) {
            const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK);
            if (fd < 0) return;
            const int on = 1;
            ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            watch(fd);
        }
    }

    void serve(int fd)
    {
        std::array<char, std::size_t{16} * 1024>
            chunk;  // NOLINT(cppcoreguidelines-pro-type-member-init): filled by read()
        const auto got = ::read(fd, chunk.data(), chunk.size());
        if (got <= 0) {
            unread_.erase(fd);
            ::close(fd);
            return;
        }
        std::string& text = unread_[fd];
        text.append(chunk.data(), static_cast<std::size_t>(got));
        for (auto length = request_length(text); length > 0; length = request_length(text)) {
            text.erase(0, length);
            respond(fd);
        }
    }

    void respond(int fd)
    {
        constexpr std::uint64_t slow_every = 40;
        const auto delay = ++requests_ % slow_every == 0 ? slow_ : delay_;
        if (delay.count() == 0) {
            send_answer(fd);
        } else {
            due_.emplace(Clock::now() + delay, fd);
        }
    }

    int wait_ms() const
    {
        if (due_.empty()) return -1;
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(due_.begin()->first - Clock::now());
        return static_cast<int>(std::max<std::int64_t>(0, left.count()));
    }

    void answer_due()
    {
        for (const auto now = Clock::now(); !due_.empty() && due_.begin()->first <= now;
             due_.erase(due_.begin()))
            send_answer(due_.begin()->second);
    }

    static void send_answer(int fd) { static_cast<void>(!::write(fd, answer.data(), answer.size())); }

    int epoll_ = ::epoll_create1(0);
    int listener_ = listen_on_loopback();
    std::unordered_map<int, std::string> unread_;
    std::multimap<Clock::time_point, int> due_;
    std::chrono::milliseconds delay_;
    std::chrono::milliseconds slow_;
    std::uint64_t requests_ = 0;
};

}  // namespace

int main(int argc, char** argv)
{
    std::signal(SIGPIPE, SIG_IGN);
    const std::chrono::milliseconds delay{argc > 1 ? std::atoi(argv[1]) : 0};
    Sink(delay, argc > 2 ? std::chrono::milliseconds{std::atoi(argv[2])} : delay).run();
}
