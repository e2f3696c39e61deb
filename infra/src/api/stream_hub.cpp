#include "api/stream_hub.hpp"

#include "infra/log/log.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>

#include <algorithm>
#include <ctime>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

namespace infra::api {

namespace net = boost::asio;
using boost::system::error_code;

namespace {

// Tells browsers how soon to come back, and proxies that something comes at all.
constexpr std::string_view greeting = "retry: 2000\n: the events of Polis\n\n";
constexpr std::string_view heartbeat_text = ":\n\n";
constexpr std::chrono::seconds sweep_interval{1};
constexpr std::chrono::milliseconds drain_sweep_interval{50};
constexpr int thread_niceness = 10;

int family_of(int socket)
{
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): the socket interface wants it
    getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size);
    return address.ss_family;
}

}  // namespace

void yield_to_ingest()
{
    // On Linux a thread has a priority of its own.
    setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), thread_niceness);
}

StreamHub::StreamHub(StreamLimits limits, NeedsPast needs_past, Ended ended)
    : limits_(limits),
      needs_past_(std::move(needs_past)),
      ended_(std::move(ended)),
      ring_(limits.ring_bytes_max),
      work_(context_.get_executor()),
      sweep_timer_(context_),
      thread_([this] { run(); })
{
}

StreamHub::~StreamHub() { stop(std::chrono::milliseconds(0)); }

std::chrono::nanoseconds StreamHub::cpu_time()
{
    clockid_t clock{};
    timespec spent{};
    if (pthread_getcpuclockid(thread_.native_handle(), &clock) != 0) return {};
    clock_gettime(clock, &spent);
    return std::chrono::seconds(spent.tv_sec) + std::chrono::nanoseconds(spent.tv_nsec);
}

void StreamHub::run()
{
    yield_to_ingest();
    sweep();
    for (;;) {
        try {
            context_.run();
            return;
        } catch (...) {
            log_error("event stream: unexpected exception");  // the others are still followed
        }
    }
}

void StreamHub::adopt(int socket, const domain::Uuid& after, Slot slot)
{
    auto follower = std::make_shared<Follower>(context_, after, std::move(slot));
    error_code ec;
    follower->socket.assign(net::generic::stream_protocol(family_of(socket), IPPROTO_TCP), socket, ec);
    if (ec) {
        ::close(socket);
        return;
    }
    follower->socket.non_blocking(true, ec);
    net::post(context_, [this, follower] { admit(++last_id_, follower); });
}

void StreamHub::admit(FollowerId id, const Handle& follower)
{
    if (stopping_) return;  // the socket closes with its owner
    followers_.emplace(id, follower);
    watch(id, follower);
    send_text(id, follower, greeting);
}

// Followers say nothing; what matters is that they leave.
void StreamHub::watch(FollowerId id, const Handle& follower)
{
    follower->socket.async_read_some(net::buffer(follower->ignored),
                                     [this, id, follower](const error_code& ec, std::size_t) {
                                         if (!ec) return watch(id, follower);
                                         end(id, "left");
                                     });
}

void StreamHub::start_ring(const domain::Uuid& at)
{
    net::post(context_, [this, at] {
        ring_.start(at);
        for (const auto& [id, follower] : followers_) follower->live = false;
        const auto now = followers_;  // advance() may end some
        for (const auto& [id, follower] : now) advance(id, follower);
    });
}

void StreamHub::append(std::shared_ptr<const StreamBlock> block)
{
    net::post(context_, [this, block = std::move(block)]() mutable {
        ring_.append(std::move(block));
        const auto now = followers_;
        for (const auto& [id, follower] : now) {
            if (left_behind(*follower)) {
                end(id, "slow");
            } else {
                advance(id, follower);
            }
        }
    });
}

bool StreamHub::left_behind(const Follower& follower) const
{
    return follower.live && !ring_.find(follower.position);
}

void StreamHub::give_past(FollowerId id, std::shared_ptr<const StreamBlock> block, const domain::Uuid& up_to)
{
    net::post(context_, [this, id, block = std::move(block), up_to] {
        const auto found = followers_.find(id);
        if (found == followers_.end()) return;
        const Handle follower = found->second;
        follower->asked_past = false;
        if (block) {
            send_blocks(id, follower, {block});
        } else {
            follower->position = std::max(follower->position, up_to);
            advance(id, follower);
        }
    });
}

void StreamHub::advance(FollowerId id, const Handle& follower)
{
    if (follower->writing || follower->asked_past || stopping_ || !ring_.started()) return;
    const auto next = ring_.find(follower->position);
    if (!next) {
        follower->asked_past = true;
        needs_past_(id, follower->position);
        return;
    }
    follower->live = true;
    Blocks blocks;
    const auto last = std::min(ring_.end(), *next + limits_.write_blocks_max);
    for (auto number = *next; number < last; ++number) blocks.push_back(ring_.at(number));
    if (!blocks.empty()) send_blocks(id, follower, std::move(blocks));
}

void StreamHub::send_blocks(FollowerId id, const Handle& follower, Blocks blocks)
{
    std::vector<net::const_buffer> buffers;
    buffers.reserve(blocks.size());
    for (const auto& block : blocks) {
        buffers.push_back(net::buffer(block->content.text) + block->offset_behind(follower->position));
    }
    const auto last = std::max(follower->position, blocks.back()->last);
    follower->in_flight = std::move(blocks);
    write(id, follower, buffers, last);
}

void StreamHub::send_text(FollowerId id, const Handle& follower, std::string_view text)
{
    write(id, follower, net::buffer(text.data(), text.size()), follower->position);
}

template <class Buffers>
void StreamHub::write(FollowerId id, const Handle& follower, const Buffers& buffers,
                      const domain::Uuid& position)
{
    follower->writing = true;
    follower->written_at = Clock::now();
    net::async_write(follower->socket, buffers,
                     [this, id, follower, position](const error_code& ec, std::size_t) {
                         follower->writing = false;
                         follower->in_flight.clear();
                         if (ec) return end(id, "left");
                         follower->position = position;
                         if (stopping_) return end(id, "stopping");
                         if (left_behind(*follower)) return end(id, "slow");
                         advance(id, follower);
                     });
}

void StreamHub::end(FollowerId id, std::string_view reason)
{
    const auto found = followers_.find(id);
    if (found == followers_.end()) return;
    error_code ignored;
    found->second->socket.shutdown(Socket::shutdown_send, ignored);
    found->second->socket.close(ignored);
    found->second->slot.reset();
    followers_.erase(found);
    ended_(reason);
    end_if_drained();
}

void StreamHub::sweep()
{
    const auto now = Clock::now();
    const auto all = followers_;
    for (const auto& [id, follower] : all) {
        const auto silent = now - follower->written_at;
        if (now >= cut_at_) {
            end(id, "stopping");
        } else if (follower->writing && silent >= limits_.write_timeout) {
            end(id, "slow");
        } else if (!follower->writing && !stopping_ && silent >= limits_.heartbeat) {
            send_text(id, follower, heartbeat_text);
        }
    }
    if (stopping_ && followers_.empty()) return;
    sweep_timer_.expires_after(stopping_ ? std::chrono::milliseconds(drain_sweep_interval) : sweep_interval);
    sweep_timer_.async_wait([this](const error_code& ec) {
        if (!ec) sweep();
    });
}

void StreamHub::stop(std::chrono::milliseconds limit)
{
    if (!thread_.joinable()) return;
    net::post(context_, [this, limit] {
        stopping_ = true;
        cut_at_ = Clock::now() + limit;
        const auto all = followers_;
        for (const auto& [id, follower] : all) {
            if (!follower->writing) end(id, "stopping");
        }
        sweep_timer_.cancel();
        sweep();
        end_if_drained();
    });
    thread_.join();
}

void StreamHub::end_if_drained()
{
    if (!stopping_ || !followers_.empty()) return;
    sweep_timer_.cancel();
    work_.reset();
}

}  // namespace infra::api
