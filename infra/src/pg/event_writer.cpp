#include "infra/pg/event_writer.hpp"

#include "failpoint.hpp"
#include "infra/log/log.hpp"
#include "pg/ingest_transaction.hpp"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

namespace infra::pg {
namespace {

using Clock = std::chrono::steady_clock;
using Prepared = const domain::PreparedEvent*;

// The worker polls for longer than this after it was woken, so a batch without a notification is seen, too.
constexpr auto notify_interval_min = std::chrono::milliseconds(10);
constexpr int serialization_retries_max = 3;

struct Request {
    std::vector<domain::PreparedEvent> events;
    app::EventLog::Done done;
    std::size_t rows = 0;
    std::size_t bytes = 0;
    std::shared_ptr<const app::StreamBatch> stream = {};  // instead of events

    const std::vector<domain::PreparedEvent>& prepared() const { return stream ? stream->events : events; }
};

app::AppendResult refusal(app::AppendRefusal why) { return {why, {}}; }

}  // namespace

class EventWriter::Impl {
public:
    Impl(EventWriterOptions options, std::function<void(const CommittedBatch&)> committed)
        : options_(std::move(options)), committed_(std::move(committed)), thread_([this] { loop(); })
    {
    }

    ~Impl() { stop(); }

    void append(Request request)
    {
        for (const auto& event : request.prepared()) {
            request.rows += event.rows();
            request.bytes += event.bytes();
        }
        std::optional<app::AppendRefusal> refused;
        {
            const std::lock_guard lock(mutex_);
            refused = enqueue(request);
        }
        if (refused) {
            request.done(refusal(*refused));
        } else {
            wake_.notify_one();
        }
    }

    void stop()
    {
        {
            const std::lock_guard lock(mutex_);
            stopping_ = true;
        }
        wake_.notify_one();
        if (thread_.joinable()) thread_.join();
    }

    std::size_t queued_rows() const
    {
        const std::lock_guard lock(mutex_);
        return queued_rows_;
    }

private:
    std::optional<app::AppendRefusal> enqueue(Request& request)
    {
        if (stopping_) return app::AppendRefusal::stopping;
        const bool full = !queue_.empty() && (queued_rows_ + request.rows > options_.queue_rows_max ||
                                              queued_bytes_ + request.bytes > options_.queue_bytes_max);
        if (full) return app::AppendRefusal::queue_full;
        queued_rows_ += request.rows;
        queued_bytes_ += request.bytes;
        queue_.push_back(std::move(request));
        return std::nullopt;
    }

    std::vector<Request> take_batch()
    {
        std::unique_lock lock(mutex_);
        wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
        std::vector<Request> batch;
        std::size_t rows = 0;
        while (!queue_.empty() && fits(batch, rows, queue_.front())) {
            rows += queue_.front().rows;
            queued_rows_ -= queue_.front().rows;
            queued_bytes_ -= queue_.front().bytes;
            batch.push_back(std::move(queue_.front()));
            queue_.pop_front();
        }
        return batch;
    }

    bool fits(const std::vector<Request>& batch, std::size_t rows, const Request& next) const
    {
        if (batch.empty()) return true;
        return !next.stream && !batch.front().stream && rows + next.rows <= options_.batch_rows_max;
    }

    void loop()
    {
        while (true) {
            auto batch = take_batch();
            if (batch.empty()) return;
            const auto started = Clock::now();
            auto results = store(batch);
            const auto duration = Clock::now() - started;
            report(batch, results, duration);
            failpoint("writer.stored");
            for (std::size_t i = 0; i < batch.size(); ++i) batch[i].done(std::move(results[i]));
            failpoint("writer.answered");
        }
    }

    void report(const std::vector<Request>& batch, const std::vector<app::AppendResult>& results,
                Clock::duration duration)
    {
        if (results.front().refusal) return;
        std::size_t events = 0;
        for (const auto& request : batch) events += request.prepared().size();
        CommittedBatch committed{batch.size(), events, duration};
        for (const auto& result : results) {
            for (const auto& answer : result.events) {
                if (!answer) continue;
                committed.measurements.insert(committed.measurements.end(), answer->measurements.begin(),
                                              answer->measurements.end());
            }
        }
        committed_(committed);
    }

    std::vector<app::AppendResult> store(const std::vector<Request>& batch)
    {
        std::vector<Prepared> events;
        for (const auto& request : batch) {
            for (const auto& event : request.prepared()) events.push_back(&event);
        }
        const auto* stream = batch.front().stream.get();
        try {
            if (stream != nullptr) return {commit_stream(*stream, events)};
            return split(batch, commit_without_poison(events));
        } catch (const PositionMoved&) {
            return {refusal(app::AppendRefusal::superseded)};
        } catch (const SqlError& error) {
            const bool unknown =
                transaction_ && transaction_->committing() && dynamic_cast<const ConnectionLost*>(&error);
            log_error("batch not stored", {{"sqlstate", error.sqlstate()},
                                           {"reason", error.what()},
                                           {"requests", batch.size()},
                                           {"outcome_unknown", unknown}});
            transaction_.reset();
            const auto why = unknown ? app::AppendRefusal::outcome_unknown : app::AppendRefusal::unavailable;
            return std::vector<app::AppendResult>(batch.size(), refusal(why));
        }
    }

    static std::vector<app::AppendResult> split(const std::vector<Request>& batch, app::AppendedEvents all)
    {
        std::vector<app::AppendResult> results;
        auto from = all.begin();
        for (const auto& request : batch) {
            const auto to = from + static_cast<std::ptrdiff_t>(request.prepared().size());
            results.push_back({std::nullopt, {std::make_move_iterator(from), std::make_move_iterator(to)}});
            from = to;
        }
        return results;
    }

    // A stream's batch is stored whole or not at all, because its positions cover all of it: with poison in
    // it, its consumer hears which events those are, and sends it again with them in quarantine.
    app::AppendResult commit_stream(const app::StreamBatch& stream, const std::vector<Prepared>& events)
    {
        try {
            return {std::nullopt, all_answered(run(events, IngestTransaction::End::commit, &stream))};
        } catch (const SqlError& error) {
            if (!error.bad_data()) throw;
        }
        std::vector<Prepared> poison;
        find_poison(events, poison);
        if (poison.empty()) throw SqlError("", "the database refuses the batch but none of its events");
        app::AppendResult result{app::AppendRefusal::poison,
                                 app::AppendedEvents(events.size(), domain::IngestAnswer{})};
        for (std::size_t i = 0; i < events.size(); ++i) {
            if (std::find(poison.begin(), poison.end(), events[i]) != poison.end()) result.events[i].reset();
        }
        return result;
    }

    // A row that the database refuses must not fail its neighbours: the batch is tried in halves, each rolled
    // back, until the poison is known, and then all others are committed together.
    app::AppendedEvents commit_without_poison(const std::vector<Prepared>& events)
    {
        try {
            return all_answered(run(events, IngestTransaction::End::commit));
        } catch (const SqlError& error) {
            if (!error.bad_data()) throw;
        }
        std::vector<Prepared> poison;
        find_poison(events, poison);
        std::vector<Prepared> good;
        for (const auto* event : events) {
            if (std::find(poison.begin(), poison.end(), event) == poison.end()) good.push_back(event);
        }
        log_warning("database refused events", {{"refused", poison.size()}, {"stored", good.size()}});
        std::vector<domain::IngestAnswer> answers;
        if (!good.empty()) answers = run(good, IngestTransaction::End::commit);
        app::AppendedEvents all(events.size());
        std::size_t next = 0;
        for (std::size_t i = 0; i < events.size(); ++i) {
            if (next < good.size() && events[i] == good[next]) all[i] = std::move(answers[next++]);
        }
        return all;
    }

    static app::AppendedEvents all_answered(std::vector<domain::IngestAnswer> answers)
    {
        return {std::make_move_iterator(answers.begin()), std::make_move_iterator(answers.end())};
    }

    void find_poison(std::span<const Prepared> events, std::vector<Prepared>& poison)
    {
        try {
            run(events, IngestTransaction::End::rollback);
            return;
        } catch (const SqlError& error) {
            if (!error.bad_data()) throw;
        }
        if (events.size() == 1) {
            poison.push_back(events.front());
            return;
        }
        find_poison(events.first(events.size() / 2), poison);
        find_poison(events.subspan(events.size() / 2), poison);
    }

    // One transaction, repeated where that can help: after a serialization failure, with missing partitions
    // made, and once over a fresh connection when the old one was found dead before anything was committed.
    std::vector<domain::IngestAnswer> run(std::span<const Prepared> events, IngestTransaction::End end,
                                          const app::StreamBatch* stream = nullptr)
    {
        bool fresh = !transaction_;
        for (int attempt = 0;; ++attempt) {
            if (!transaction_) transaction_.emplace(options_.database_url, options_.workflows);
            try {
                return run_once(events, end, stream);
            } catch (const ConnectionLost&) {
                if (fresh || transaction_->committing()) throw;
                transaction_.reset();
                fresh = true;
            } catch (const SqlError& error) {
                transaction_->rollback();
                const bool again = error.worth_a_retry() || error.no_partition();
                if (!again || attempt >= serialization_retries_max) throw;
                if (error.no_partition()) transaction_->make_partitions();
            }
        }
    }

    std::vector<domain::IngestAnswer> run_once(std::span<const Prepared> events, IngestTransaction::End end,
                                               const app::StreamBatch* stream)
    {
        const auto now = Clock::now();
        const bool notify = now - notified_at_ >= notify_interval_min;
        auto answers = transaction_->run(events, end, notify, stream);
        if (notify) notified_at_ = now;
        return answers;
    }

    const EventWriterOptions options_;
    const std::function<void(const CommittedBatch&)> committed_;
    mutable std::mutex mutex_;
    std::condition_variable wake_;
    std::deque<Request> queue_;
    std::size_t queued_rows_ = 0;
    std::size_t queued_bytes_ = 0;
    bool stopping_ = false;
    std::optional<IngestTransaction> transaction_;  // writer's thread only
    Clock::time_point notified_at_{};
    std::thread thread_;  // last, so that everything it uses is there before and after it
};

EventWriter::EventWriter(EventWriterOptions options, std::function<void(const CommittedBatch&)> committed)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(committed)))
{
}

EventWriter::~EventWriter() = default;

void EventWriter::append(std::vector<domain::PreparedEvent> events, Done done)
{
    impl_->append({std::move(events), std::move(done), 0, 0});
}

void EventWriter::append_stream(std::shared_ptr<const app::StreamBatch> batch, Done done)
{
    impl_->append({{}, std::move(done), 0, 0, std::move(batch)});
}

void EventWriter::stop() { impl_->stop(); }

std::size_t EventWriter::queued_rows() const { return impl_->queued_rows(); }

}  // namespace infra::pg
