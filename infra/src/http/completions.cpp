#include "http/completions.hpp"

#include "http/loop.hpp"
#include "infra/log/log.hpp"

#include <boost/asio/post.hpp>

#include <atomic>
#include <utility>

namespace infra::http {

namespace {

thread_local const Completions* of_this_thread = nullptr;

class Ticket {
public:
    Ticket(std::shared_ptr<Completions> completions, RequestId id)
        : completions_(std::move(completions)), id_(id)
    {
    }
    Ticket(const Ticket&) = delete;
    Ticket& operator=(const Ticket&) = delete;

    ~Ticket()
    {
        try {
            if (!used_) completions_->push(id_, problem(500, "Internal Server Error"));
        } catch (...) {
            log_error("answer lost");  // out of memory; the session ends with the server
        }
    }

    void answer(Response&& response)
    {
        if (!used_.exchange(true)) completions_->push(id_, std::move(response));
    }

private:
    std::shared_ptr<Completions> completions_;
    RequestId id_;
    std::atomic<bool> used_ = false;
};

}  // namespace

void Completions::push(RequestId id, Response&& response)
{
    if (of_this_thread == this) {
        loop_->deliver(id, std::move(response));
        return;
    }
    const std::lock_guard lock(mutex_);
    if (loop_ == nullptr) return;
    entries_.push_back(Entry{id, std::move(response)});
    if (entries_.size() > 1) return;
    boost::asio::post(loop_->context(), [self = shared_from_this()] { self->deliver(); });
}

void Completions::bind_to_this_thread() const { of_this_thread = this; }

void Completions::close()
{
    std::vector<Entry> dropped;
    const std::lock_guard lock(mutex_);
    loop_ = nullptr;
    dropped.swap(entries_);
}

void Completions::deliver()
{
    {
        const std::lock_guard lock(mutex_);
        batch_.swap(entries_);
    }
    for (Entry& entry : batch_) loop_->deliver(entry.id, std::move(entry.response));
    batch_.clear();
}

Reply make_reply(std::shared_ptr<Completions> completions, RequestId id)
{
    auto ticket = std::make_shared<Ticket>(std::move(completions), id);
    return [ticket = std::move(ticket)](Response response) { ticket->answer(std::move(response)); };
}

}  // namespace infra::http
