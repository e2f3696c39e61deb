#pragma once

#include "infra/http/message.hpp"

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace infra::http {

class Loop;

// Names one request of one session of one loop. Numbers are never reused, so a late answer finds nobody.
struct RequestId {
    std::uint64_t session = 0;
    std::uint64_t number = 0;
};

// Way of answers from any thread to the io thread of their session. Wakes the loop only when the queue was
// empty: a writer that completes hundreds of requests at once costs one wake-up.
class Completions : public std::enable_shared_from_this<Completions> {
public:
    explicit Completions(Loop& loop) : loop_(&loop) {}

    void push(RequestId id, Response&& response);

    // On the io thread, before it runs: answers given there take no detour.
    void bind_to_this_thread() const;
    // After the io thread has ended: later answers are dropped.
    void close();

private:
    struct Entry {
        RequestId id;
        Response response;
    };

    void deliver();

    std::mutex mutex_;
    Loop* loop_;
    std::vector<Entry> entries_;
    std::vector<Entry> batch_;  // io thread only; kept for its capacity
};

// The Reply of one request; answers 500 when it is dropped uncalled.
Reply make_reply(std::shared_ptr<Completions> completions, RequestId id);

}  // namespace infra::http
