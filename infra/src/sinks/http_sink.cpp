#include "infra/sinks/http_sink.hpp"

#include "net/curl.hpp"
#include "sinks/http_transfer.hpp"

#include <algorithm>
#include <csignal>
#include <deque>
#include <iterator>
#include <mutex>
#include <pthread.h>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

namespace infra {
namespace {

using net::curl::check;
using net::curl::Multi;
using sinks::HttpTransfer;
using sinks::Job;

// libcurl wakes up by itself for its timers and for curl_multi_wakeup(); this is only an upper bound.
constexpr int idle_wait_ms = 10'000;

constexpr std::size_t batch_messages_max = 100;
constexpr std::size_t batch_bytes_max = std::size_t{1} << 20U;
// Few, so that messages gather while others are under way.
constexpr std::size_t batch_requests_max = 2;

Multi make_multi(std::size_t connections_max)
{
    Multi multi = net::curl::new_multi();
    const long connections = static_cast<long>(connections_max);
    check(curl_multi_setopt(multi.get(), CURLMOPT_MAX_HOST_CONNECTIONS, connections));
    check(curl_multi_setopt(multi.get(), CURLMOPT_MAXCONNECTS, connections));
    return multi;
}

// Signals belong to the main thread; and with CURLOPT_NOSIGNAL libcurl does not hold SIGPIPE back itself.
void block_signals()
{
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);
}

void abandon(const app::MessageSink::Done& done)
{
    done({.verdict = domain::Verdict::abandoned, .error = "the sink was stopped"});
}

HttpSinkOptions validated(HttpSinkOptions options)
{
    if (options.in_flight_max == 0 || options.timeout.count() <= 0) {
        throw std::invalid_argument("the HTTP sink needs a timeout and a number of requests in flight");
    }
    return options;
}

}  // namespace

class HttpSink::Loop {
public:
    explicit Loop(HttpSinkOptions options)
        : options_(validated(std::move(options))),
          multi_(make_multi(options_.in_flight_max)),
          thread_([this] { run(); })
    {
    }

    void submit(Job job)
    {
        std::unique_lock lock(mutex_);
        if (stopping_) {
            lock.unlock();
            abandon(job.done);
            return;
        }
        const bool first = submitted_.empty();
        submitted_.push_back(std::move(job));
        lock.unlock();
        // One wake-up for many messages: the loop takes all of them.
        if (first) curl_multi_wakeup(multi_.get());
    }

    void stop()
    {
        std::call_once(stop_once_, [this] {
            {
                const std::lock_guard lock(mutex_);
                stopping_ = true;
            }
            curl_multi_wakeup(multi_.get());
            thread_.join();
        });
    }

private:
    void run()
    {
        block_signals();
        while (take_submitted()) {
            start_waiting();
            int running = 0;
            check(curl_multi_perform(multi_.get(), &running));
            finish_ended();
            if (!can_start()) check(curl_multi_poll(multi_.get(), nullptr, 0, idle_wait_ms, nullptr));
        }
        abandon_all();
    }

    // False when the sink is being stopped.
    bool take_submitted()
    {
        {
            const std::lock_guard lock(mutex_);
            taken_.swap(submitted_);
            if (stopping_) return false;
        }
        move_taken();
        return true;
    }

    void move_taken()
    {
        waiting_.insert(waiting_.end(), std::make_move_iterator(taken_.begin()),
                        std::make_move_iterator(taken_.end()));
        taken_.clear();
    }

    void start_waiting()
    {
        while (can_start()) {
            HttpTransfer& transfer = idle_transfer();
            transfer.prepare(next_jobs(), options_);
            check(curl_multi_add_handle(multi_.get(), transfer.easy()));
            ++active_;
        }
    }

    bool can_start() const { return !waiting_.empty() && active_ < requests_max_; }

    // What the next request carries.
    std::vector<Job> next_jobs()
    {
        std::vector<Job> jobs;
        std::size_t bytes = 0;
        do {
            bytes += waiting_.front().message.payload.size();
            if (!jobs.empty() && bytes > batch_bytes_max) break;
            jobs.push_back(std::move(waiting_.front()));
            waiting_.pop_front();
        } while (options_.batch && !jobs.front().alone && jobs.size() < batch_messages_max &&
                 !waiting_.empty() && !waiting_.front().alone);
        return jobs;
    }

    HttpTransfer& idle_transfer()
    {
        if (idle_.empty()) return transfers_.emplace_back(options_);
        HttpTransfer& transfer = *idle_.back();
        idle_.pop_back();
        return transfer;
    }

    void finish_ended()
    {
        int left = 0;
        while (const CURLMsg* message = curl_multi_info_read(multi_.get(), &left)) {
            if (message->msg != CURLMSG_DONE) continue;
            CURL* const easy = message->easy_handle;
            const CURLcode code = message->data.result;  // removal invalidates the message
            HttpTransfer& transfer = HttpTransfer::of(easy);
            domain::DeliveryOutcome outcome = transfer.outcome(code);
            check(curl_multi_remove_handle(multi_.get(), easy));
            --active_;
            std::vector<Job> jobs = transfer.release();
            idle_.push_back(&transfer);
            if (jobs.size() > 1 && is_poison(outcome)) {
                send_one_by_one(std::move(jobs));
                continue;
            }
            for (const Job& job : jobs) job.done(outcome);
        }
    }

    static bool is_poison(const domain::DeliveryOutcome& outcome)
    {
        return outcome.verdict == domain::Verdict::rejected && outcome.blame == domain::Blame::poison;
    }

    // One bad message must not make dead letters of those that were with it.
    void send_one_by_one(std::vector<Job> jobs)
    {
        for (Job& job : jobs) job.alone = true;
        waiting_.insert(waiting_.begin(), std::make_move_iterator(jobs.begin()),
                        std::make_move_iterator(jobs.end()));
    }

    void abandon_all()
    {
        finish_ended();  // what is known must not be called unknown
        move_taken();
        for (HttpTransfer& transfer : transfers_) {
            curl_multi_remove_handle(multi_.get(), transfer.easy());
            for (const Job& job : transfer.release()) abandon(job.done);
        }
        for (const Job& job : waiting_) abandon(job.done);
        waiting_.clear();
    }

    const HttpSinkOptions options_;
    const std::size_t requests_max_ =
        options_.batch ? std::min(options_.in_flight_max, batch_requests_max) : options_.in_flight_max;
    const Multi multi_;

    std::mutex mutex_;
    std::vector<Job> submitted_;  // guarded by mutex_
    bool stopping_ = false;       // guarded by mutex_
    std::once_flag stop_once_;

    // Of the loop's thread alone.
    std::vector<Job> taken_;
    std::deque<Job> waiting_;
    std::deque<HttpTransfer> transfers_;  // at most in_flight_max; their addresses are kept by libcurl
    std::vector<HttpTransfer*> idle_;
    std::size_t active_ = 0;

    std::thread thread_;  // last: it uses all of the above
};

HttpSink::HttpSink(HttpSinkOptions options) : loop_(std::make_unique<Loop>(std::move(options))) {}

HttpSink::~HttpSink() { stop(); }

void HttpSink::send(const domain::OutboxMessage& message, Done done)
{
    loop_->submit({message, std::move(done)});
}

void HttpSink::call(const domain::OutboxMessage& message, HttpCall call, Done done)
{
    loop_->submit({message, std::move(done), std::move(call)});
}

void HttpSink::stop() { loop_->stop(); }

}  // namespace infra
