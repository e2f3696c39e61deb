#include "api/event_stream.hpp"

#include "api/with_session.hpp"
#include "infra/log/log.hpp"
#include "pg/connection.hpp"
#include "pg/event_feed.hpp"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <utility>

namespace infra::api {
namespace {

constexpr std::size_t page_bytes_max = std::size_t{256} * 1024;
constexpr std::chrono::milliseconds read_interval{100};
// A round costs a system call a follower, so many followers are served less often.
constexpr std::chrono::microseconds read_interval_per_follower{400};
constexpr std::chrono::seconds pause_after_fault{1};
// What a follower that comes back may cost: one page for each of these a round.
constexpr std::size_t past_pages_per_round = 4;

// How many events to ask for: what the database sends beyond the bytes of a page is thrown away.
class PageSize {
public:
    std::size_t events() const { return events_; }

    void learn(const pg::FeedPage& page)
    {
        if (page.text.size() >= page_bytes_max) {
            events_ = page.entries.size();
        } else if (page.full && page.text.size() < page_bytes_max / 2) {
            events_ = std::min(events_ * 2, events_max);
        }
    }

private:
    static constexpr std::size_t events_max = 1000;
    std::size_t events_ = 32;  // of a megabyte each that is still bearable
};

// Ingest comes first: while the writer is at work for more than half of the time, a round of the stream is
// followed by a pause of nineteen times what it cost.
class Budget {
public:
    using Clock = std::chrono::steady_clock;
    using Time = std::chrono::nanoseconds;

    void round_begins() { began_ = Clock::now(); }

    // `hub` and `writer`: their work since the start.
    Time pause_after(Time hub, Time writer)
    {
        const auto now = Clock::now();
        const Time cost = (now - began_) + (hub - hub_);
        const bool busy = writer - writer_ > (now - looked_) / 2;
        hub_ = hub;
        writer_ = writer;
        looked_ = now;
        return busy ? std::min<Time>(cost * 19, pause_max) : Time(0);
    }

private:
    static constexpr Time pause_max = std::chrono::seconds(10);
    Clock::time_point began_ = Clock::now();
    Clock::time_point looked_ = Clock::now();
    Time hub_{};
    Time writer_{};
};

http::Response too_many()
{
    auto response = http::problem(503, "Too many follow the events already. Try again later.");
    response.headers.push_back({"Retry-After", "5"});
    return response;
}

}  // namespace

class EventStream::Impl {
public:
    Impl(EventStreamOptions options, pg::QueryPool& pool, Metrics& metrics)
        : options_(std::move(options)),
          pool_(pool),
          metrics_(metrics),
          hub_(
              options_.limits,
              [this](StreamHub::FollowerId id, const domain::Uuid& after) { ask_past(id, after); },
              [this](std::string_view reason) { metrics_.stream_ended(reason); }),
          reader_([this] { read_all(); })
    {
    }

    ~Impl() { stop(std::chrono::milliseconds(0)); }
    Impl(const Impl&) = delete;
    Impl& operator=(const Impl&) = delete;

    void open(const http::Request& request, const http::Reply& reply)
    {
        auto slot = take_slot();
        if (!slot) return reply(too_many());
        std::string wanted(request.header("Last-Event-ID"));
        // For clients that cannot set a header when they first come.
        const auto* parameter = request.query_value("last_event_id");
        if (wanted.empty() && parameter != nullptr) wanted = *parameter;
        if (!wanted.empty()) {
            const auto after = domain::parse_uuid(wanted);
            if (!after) return reply(http::problem(422, "Last-Event-ID must be the id of an event"));
            return reply(answer(*after, std::move(slot)));
        }
        if (const auto tail = known_tail()) return reply(answer(*tail, std::move(slot)));
        with_session(pool_, reply, [this, slot](soci::session& session) {
            return answer(pg::newest_event(session), slot);
        });
    }

    void stop(std::chrono::milliseconds limit)
    {
        {
            const std::lock_guard lock(mutex_);
            stopping_ = true;
        }
        wake_.notify_all();
        if (reader_.joinable()) reader_.join();
        hub_.stop(limit);
    }

private:
    struct Past {
        StreamHub::FollowerId follower;
        domain::Uuid after;
    };

    // Counted from the request to the end of the connection.
    StreamHub::Slot take_slot()
    {
        if (followers_.fetch_add(1) >= options_.followers_max) {
            --followers_;
            return nullptr;
        }
        metrics_.stream_followers(followers_);
        return {this, [this](const void*) { metrics_.stream_followers(--followers_); }};
    }

    http::Response answer(const domain::Uuid& after, StreamHub::Slot slot)
    {
        http::Response response;
        response.content_type = "text/event-stream";
        response.headers = {{"Cache-Control", "no-store"}, {"X-Accel-Buffering", "no"}};
        response.take_over = [this, after, slot = std::move(slot)](int socket) {
            hub_.adopt(socket, after, slot);
            {
                const std::lock_guard lock(mutex_);
            }  // so that the reader is not between its look and its sleep
            wake_.notify_all();
        };
        return response;
    }

    std::optional<domain::Uuid> known_tail()
    {
        const std::lock_guard lock(mutex_);
        return tail_;
    }

    void ask_past(StreamHub::FollowerId id, const domain::Uuid& after)
    {
        {
            const std::lock_guard lock(mutex_);
            past_.push_back({id, after});
        }
        wake_.notify_all();
    }

    void read_all()
    {
        yield_to_ingest();
        std::unique_ptr<soci::session> session;
        Budget budget;
        while (wait_for_followers()) {
            std::chrono::nanoseconds pause = read_interval + read_interval_per_follower * followers_.load();
            bool urgent = false;  // more can be read at once
            budget.round_begins();
            try {
                if (!session) session = pg::connect(options_.database_url, {"polis-api stream"});
                urgent = read_round(*session);
            } catch (const pg::SqlError& error) {
                log_warning("event stream waits for the database", {{"reason", error.what()}});
                session.reset();
                pause = pause_after_fault;
            }
            const auto rest = budget.pause_after(hub_.cpu_time(), options_.writer_busy());
            if (urgent && rest.count() == 0) continue;
            const bool patient = !session || rest.count() > 0;
            std::unique_lock lock(mutex_);
            wake_.wait_for(lock, std::max(pause, rest),
                           [&] { return stopping_ || (!patient && !past_.empty()); });
        }
    }

    // False when stopped. Without followers it forgets its place, and begins at the newest event the next
    // time.
    bool wait_for_followers()
    {
        std::unique_lock lock(mutex_);
        if (followers_ == 0) {
            tail_.reset();
            past_.clear();
            wake_.wait(lock, [this] { return stopping_ || followers_ > 0; });
        }
        return !stopping_;
    }

    // True when more waits to be read.
    bool read_round(soci::session& session)
    {
        auto tail = known_tail();
        if (!tail) {
            tail = pg::newest_event(session);
            hub_.start_ring(*tail);
        }
        auto page = pg::read_feed(session, *tail, std::nullopt, live_size_.events(), page_bytes_max);
        live_size_.learn(page);
        const bool full = page.full;
        if (!page.entries.empty()) {
            metrics_.stream_events(page.entries.size());
            auto block = std::make_shared<const StreamBlock>(*tail, std::move(page));
            tail = block->last;
            hub_.append(std::move(block));
        }
        {
            const std::lock_guard lock(mutex_);
            tail_ = tail;
        }
        return read_past(session, *tail) || full;
    }

    bool read_past(soci::session& session, const domain::Uuid& tail)
    {
        bool any = false;
        for (std::size_t number = 0; number < past_pages_per_round; ++number) {
            const auto wanted = first_past();
            if (!wanted) break;
            any = true;
            auto page = pg::read_feed(session, wanted->after, tail, past_size_.events(), page_bytes_max);
            past_size_.learn(page);
            std::shared_ptr<const StreamBlock> block;
            if (!page.entries.empty())
                block = std::make_shared<const StreamBlock>(wanted->after, std::move(page));
            hub_.give_past(wanted->follower, std::move(block), tail);
            const std::lock_guard lock(mutex_);
            past_.pop_front();  // only now: after a fault it is asked again
        }
        return any;
    }

    std::optional<Past> first_past()
    {
        const std::lock_guard lock(mutex_);
        if (past_.empty()) return std::nullopt;
        return past_.front();
    }

    const EventStreamOptions options_;
    pg::QueryPool& pool_;
    Metrics& metrics_;
    std::atomic<std::size_t> followers_ = 0;
    std::mutex mutex_;  // guards the next four
    std::condition_variable wake_;
    bool stopping_ = false;
    std::optional<domain::Uuid> tail_;
    std::deque<Past> past_;
    PageSize live_size_;  // these two: reader's thread only
    PageSize past_size_;
    StreamHub hub_;
    std::thread reader_;
};

EventStream::EventStream(EventStreamOptions options, pg::QueryPool& pool, Metrics& metrics)
    : impl_(std::make_unique<Impl>(std::move(options), pool, metrics))
{
}

EventStream::~EventStream() = default;

void EventStream::open(const http::Request& request, const http::Reply& reply)
{
    impl_->open(request, reply);
}
void EventStream::stop(std::chrono::milliseconds limit) { impl_->stop(limit); }

}  // namespace infra::api
