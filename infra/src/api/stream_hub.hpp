#pragma once

#include "api/stream_ring.hpp"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <vector>

namespace infra::api {

struct StreamLimits {
    std::size_t ring_bytes_max = std::size_t{16} * 1024 * 1024;
    std::size_t write_blocks_max = 16;                // of one write
    std::chrono::milliseconds heartbeat{15'000};      // a comment when there was nothing else for so long
    std::chrono::milliseconds write_timeout{15'000};  // of one write
};

// Gives the calling thread a tenth of the weight of those that ingest.
void yield_to_ingest();

// The connections of all followers, on one thread of low priority: ingest comes first. A follower has no
// buffer of its own; it is sent from the ring whenever its last write is done, and one that the ring has left
// behind is cut. It comes back with its Last-Event-ID and loses nothing.
class StreamHub {
public:
    using FollowerId = std::uint64_t;
    using Slot = std::shared_ptr<const void>;  // held for as long as the follower is there
    // The follower needs what follows this id, which lies before the ring. Called on the hub's thread.
    using NeedsPast = std::function<void(FollowerId, const domain::Uuid& after)>;
    using Ended = std::function<void(std::string_view reason)>;

    StreamHub(StreamLimits limits, NeedsPast needs_past, Ended ended);
    ~StreamHub();  // stop(0)
    StreamHub(const StreamHub&) = delete;
    StreamHub& operator=(const StreamHub&) = delete;

    // From any thread. Takes the socket.
    void adopt(int socket, const domain::Uuid& after, Slot slot);
    // From one thread, the reader's.
    void start_ring(const domain::Uuid& at);
    void append(std::shared_ptr<const StreamBlock> block);
    // The answer to NeedsPast; null = nothing lies between that and `up_to`.
    void give_past(FollowerId id, std::shared_ptr<const StreamBlock> block, const domain::Uuid& up_to);

    // Processor time of the hub's thread so far; for the reader's thread.
    std::chrono::nanoseconds cpu_time();

    // Ends every follower after the write it is at, and cuts what is left after `limit`. Idempotent.
    void stop(std::chrono::milliseconds limit);

private:
    using Clock = std::chrono::steady_clock;
    using Socket = boost::asio::basic_stream_socket<boost::asio::generic::stream_protocol>;
    using Blocks = std::vector<std::shared_ptr<const StreamBlock>>;

    struct Follower {
        Follower(boost::asio::io_context& context, const domain::Uuid& after, Slot held)
            : socket(context), position(after), slot(std::move(held))
        {
        }

        Socket socket;
        domain::Uuid position{};  // the last event that was sent
        Slot slot;
        bool live = false;  // has reached the ring
        bool writing = false;
        bool asked_past = false;
        Blocks in_flight;
        Clock::time_point written_at{};  // when the last write began
        std::array<char, 256> ignored{};
    };
    using Handle = std::shared_ptr<Follower>;

    void run();
    void admit(FollowerId id, const Handle& follower);
    void watch(FollowerId id, const Handle& follower);
    void advance(FollowerId id, const Handle& follower);
    void send_blocks(FollowerId id, const Handle& follower, Blocks blocks);
    void send_text(FollowerId id, const Handle& follower, std::string_view text);
    template <class Buffers>
    void write(FollowerId id, const Handle& follower, const Buffers& buffers, const domain::Uuid& position);
    void end(FollowerId id, std::string_view reason);
    bool left_behind(const Follower& follower) const;
    void sweep();
    void end_if_drained();

    const StreamLimits limits_;
    const NeedsPast needs_past_;
    const Ended ended_;
    StreamRing ring_;
    boost::asio::io_context context_{1};
    boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
    boost::asio::steady_timer sweep_timer_;
    std::unordered_map<FollowerId, Handle> followers_;
    FollowerId last_id_ = 0;
    bool stopping_ = false;
    Clock::time_point cut_at_ = Clock::time_point::max();
    std::thread thread_;  // last: it uses everything above
};

}  // namespace infra::api
