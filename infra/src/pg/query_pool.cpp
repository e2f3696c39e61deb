#include "pg/query_pool.hpp"

#include "infra/log/log.hpp"
#include "pg/connection.hpp"

namespace infra::pg {

QueryPool::QueryPool(std::size_t threads, std::string database_url, std::string application_name)
    : url_(std::move(database_url)), name_(std::move(application_name))
{
    for (std::size_t i = 0; i < threads; ++i) threads_.emplace_back([this] { loop(); });
}

QueryPool::~QueryPool() { stop(); }

void QueryPool::submit(Work work, Failed failed)
{
    {
        const std::lock_guard lock(mutex_);
        if (!stopping_ && tasks_.size() < tasks_max) {
            tasks_.push_back({std::move(work), std::move(failed), begin_span()});
            wake_.notify_one();
            return;
        }
        ++refused_;
    }
    failed();
}

PoolState QueryPool::state() const
{
    const std::lock_guard lock(mutex_);
    return {threads_.size(), busy_, tasks_.size(), refused_};
}

void QueryPool::stop()
{
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    wake_.notify_all();
    for (auto& thread : threads_) {
        if (thread.joinable()) thread.join();
    }
}

std::optional<trace::Span> QueryPool::begin_span() const
{
    const auto* parent = tracer_ == nullptr ? nullptr : trace::current();
    if (parent == nullptr || !parent->sampled) return std::nullopt;
    trace::Span span;
    span.parent = *parent;
    span.context = tracer_->begin(span.parent);
    span.name = "database";
    span.kind = trace::Kind::client;
    span.start = std::chrono::system_clock::now();
    span.attributes = {{"db.system.name", "postgresql"}};
    return span;
}

void QueryPool::loop()
{
    std::unique_ptr<soci::session> session;
    while (true) {
        Task task;
        {
            std::unique_lock lock(mutex_);
            wake_.wait(lock, [this] { return stopping_ || !tasks_.empty(); });
            if (tasks_.empty()) return;
            task = std::move(tasks_.front());
            tasks_.pop_front();
            ++busy_;
        }
        run(session, task);
        if (task.span) {
            task.span->end = std::chrono::system_clock::now();
            tracer_->end(*std::move(task.span));
        }
        const std::lock_guard lock(mutex_);
        --busy_;
    }
}

void QueryPool::run(std::unique_ptr<soci::session>& session, const Task& task)
{
    for (bool fresh = false;;) {
        try {
            if (!session) {
                fresh = true;
                session = connect(url_, {name_});
            }
            try {
                task.work(*session);
                // A session must come back as it went out: idle.
                if (PQtransactionStatus(native(*session)) != PQTRANS_IDLE) session.reset();
                return;
            } catch (const soci::soci_error& error) {
                rethrow_as_sql_error(error);
            }
        } catch (const ConnectionLost& error) {
            session.reset();
            if (!fresh) continue;
            log_error("database not reachable", {{"sqlstate", error.sqlstate()}, {"reason", error.what()}});
        } catch (const SqlError& error) {
            session.reset();
            log_error("query failed", {{"sqlstate", error.sqlstate()}, {"reason", error.what()}});
        }
        task.failed();
        return;
    }
}

}  // namespace infra::pg
