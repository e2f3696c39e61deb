#include "infra/sinks/amqp_sink.hpp"

#include "domain/ids.hpp"
#include "infra/log/log.hpp"
#include "sinks/amqp_publisher.hpp"
#include "sinks/wakeup.hpp"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <csignal>
#include <deque>
#include <iterator>
#include <map>
#include <mutex>
#include <pthread.h>
#include <sys/socket.h>
#include <thread>
#include <utility>

namespace infra {
namespace {

using Clock = std::chrono::steady_clock;
using Done = app::MessageSink::Done;
using domain::DeliveryOutcome;
using domain::Verdict;
using sinks::AmqpPublisher;
using sinks::BrokerWord;

// Between two tries to connect; what comes meanwhile waits for the second one.
constexpr std::chrono::milliseconds reconnect_pause{500};
// The broker's words are read at least once in so many messages.
constexpr std::size_t burst_messages_max = 64;
// How long stop() lets the thread say good-bye before it cuts the connection.
constexpr std::chrono::milliseconds farewell_max{1'000};

struct Job {
    domain::OutboxMessage message;
    Done done;
};

// Published, and the broker's word is still to come.
struct Unconfirmed {
    std::string message_id;
    Done done;
    Clock::time_point deadline;
    std::string returned = {};  // why no queue took it
};

amqp::Target target_of(const AmqpSinkOptions& options)
{
    auto target = amqp::parse_url(options.url);
    if (!target) throw std::invalid_argument("the sink is no URL of an AMQP broker");
    return *std::move(target);
}

DeliveryOutcome failure(std::string reason)
{
    return {.verdict = Verdict::retry, .error = std::move(reason)};
}

}  // namespace

class AmqpSink::Loop {
public:
    explicit Loop(AmqpSinkOptions options)
        : options_(std::move(options)), target_(target_of(options_)), thread_([this] { run(); })
    {
    }

    void submit(Job job)
    {
        std::unique_lock lock(mutex_);
        if (stopping_) {
            lock.unlock();
            return abandon(job.done);
        }
        const bool first = submitted_.empty();
        submitted_.push_back(std::move(job));
        lock.unlock();
        // One wake-up for many messages: the loop takes all of them.
        if (first) wakeup_.ring();
    }

    void stop()
    {
        std::call_once(stop_once_, [this] {
            {
                std::unique_lock lock(mutex_);
                stopping_ = true;
                wakeup_.ring();
                ended_changed_.wait_for(lock, farewell_max, [this] { return ended_; });
                // It may be waiting for a broker that takes no bytes.
                if (socket_ >= 0) ::shutdown(socket_, SHUT_RDWR);
            }
            thread_.join();
        });
    }

private:
    static void abandon(const Done& done)
    {
        done({.verdict = Verdict::abandoned, .error = "the sink was stopped"});
    }

    void run()
    {
        sigset_t all;
        sigfillset(&all);
        pthread_sigmask(SIG_BLOCK, &all, nullptr);
        while (take_submitted()) {
            try {
                if (!connection_ && !waiting_.empty() && Clock::now() >= connect_at_) connect();
                if (connection_) {
                    publish_waiting();
                    read_words();
                    check_deadlines();
                }
            } catch (const amqp::Fault& fault) {
                lose_connection(fault.what());
            }
            wait();
        }
        finish();
    }

    // False when the sink is being stopped.
    bool take_submitted()
    {
        const std::lock_guard lock(mutex_);
        waiting_.insert(waiting_.end(), std::make_move_iterator(submitted_.begin()),
                        std::make_move_iterator(submitted_.end()));
        submitted_.clear();
        return !stopping_;
    }

    void connect()
    {
        connection_.emplace(target_, options_);
        published_ = 0;
        const std::lock_guard lock(mutex_);
        socket_ = connection_->socket();
    }

    void publish_waiting()
    {
        while (!waiting_.empty()) {
            for (std::size_t i = 0; i < burst_messages_max && !waiting_.empty(); ++i) {
                Job job = std::move(waiting_.front());
                waiting_.pop_front();
                unconfirmed_.emplace(++published_,
                                     Unconfirmed{domain::to_string(job.message.event_id), std::move(job.done),
                                                 Clock::now() + options_.timeout});
                connection_->publish(job.message);
            }
            read_words();
        }
    }

    void read_words()
    {
        while (const auto word = connection_->next()) {
            if (word->kind == BrokerWord::Kind::returned) {
                mark_returned(*word);
            } else {
                settle(*word);
            }
        }
    }

    // The broker sends a message back before it confirms it.
    void mark_returned(const BrokerWord& word)
    {
        const auto at = std::find_if(unconfirmed_.begin(), unconfirmed_.end(), [&word](const auto& entry) {
            return entry.second.message_id == word.message_id;
        });
        if (at != unconfirmed_.end()) at->second.returned = word.reason;
    }

    void settle(const BrokerWord& word)
    {
        auto at = word.up_to ? unconfirmed_.begin() : unconfirmed_.find(word.tag);
        while (at != unconfirmed_.end() && at->first <= word.tag) {
            const Unconfirmed entry = std::move(at->second);
            at = unconfirmed_.erase(at);
            if (word.kind == BrokerWord::Kind::refused) {
                entry.done(failure("the broker refused the message (basic.nack)"));
            } else if (!entry.returned.empty()) {
                entry.done({.verdict = Verdict::rejected, .error = "no queue took it: " + entry.returned});
            } else {
                entry.done({});
            }
        }
    }

    // Confirms come in order of publishing, more or less: a broker that is late with the oldest is in
    // trouble.
    void check_deadlines()
    {
        if (!unconfirmed_.empty() && unconfirmed_.begin()->second.deadline <= Clock::now())
            throw amqp::Fault("the broker did not confirm in time");
    }

    void lose_connection(const std::string& reason)
    {
        forget_socket();
        const bool was_connected = connection_.has_value();
        connection_.reset();
        if (was_connected) log_warning("amqp connection lost", {{"reason", reason}});
        connect_at_ = Clock::now() + reconnect_pause;
        for (auto& [tag, entry] : std::exchange(unconfirmed_, {})) entry.done(failure(reason));
        if (was_connected) return;  // what was not published yet has not failed yet
        for (const auto& job : std::exchange(waiting_, {})) job.done(failure(reason));
    }

    void forget_socket()
    {
        const std::lock_guard lock(mutex_);
        socket_ = -1;
    }

    void wait()
    {
        auto until = Clock::now() + amqp::beat_interval;
        if (!connection_ && !waiting_.empty()) until = std::min(until, connect_at_);
        if (!unconfirmed_.empty()) until = std::min(until, unconfirmed_.begin()->second.deadline);
        wakeup_.wait(connection_ ? connection_->socket() : -1,
                     std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now()));
    }

    void finish()
    {
        const bool polite = connection_ && unconfirmed_.empty();
        if (polite) connection_->close();
        forget_socket();
        connection_.reset();
        for (const auto& [tag, entry] : unconfirmed_) abandon(entry.done);
        for (const auto& job : waiting_) abandon(job.done);
        unconfirmed_.clear();
        waiting_.clear();
        const std::lock_guard lock(mutex_);
        ended_ = true;
        ended_changed_.notify_all();
    }

    const AmqpSinkOptions options_;
    const amqp::Target target_;
    sinks::Wakeup wakeup_;

    std::mutex mutex_;
    std::condition_variable ended_changed_;
    std::vector<Job> submitted_;  // guarded by mutex_, like the three below
    bool stopping_ = false;
    bool ended_ = false;
    int socket_ = -1;  // only for stop(): it is the connection's
    std::once_flag stop_once_;

    // Of the loop's thread alone.
    std::deque<Job> waiting_;
    std::optional<AmqpPublisher> connection_;
    Clock::time_point connect_at_{};
    std::uint64_t published_ = 0;
    std::map<std::uint64_t, Unconfirmed> unconfirmed_;

    std::thread thread_;  // last: it uses all of the above
};

AmqpSink::AmqpSink(AmqpSinkOptions options) : loop_(std::make_unique<Loop>(std::move(options))) {}

AmqpSink::~AmqpSink() { stop(); }

void AmqpSink::send(const domain::OutboxMessage& message, Done done)
{
    loop_->submit({message, std::move(done)});
}

void AmqpSink::stop() { loop_->stop(); }

}  // namespace infra
