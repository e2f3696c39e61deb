#pragma once

#include "database.hpp"
#include "infra/pg/event_writer.hpp"

#include <doctest/doctest.h>

#include <future>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

// Events to write, and what the writer answers.
namespace pg_support {

constexpr auto writer_name = "polis-api writer";

inline domain::PreparedEvent event(std::string service, std::string key = "",
                                   std::string payload = R"({"a":1})")
{
    domain::PreparedEvent event;
    if (!key.empty()) event.request_digest = domain::key_digest(service, key);
    event.service = std::move(service);
    event.payload = std::move(payload);
    event.request_key = std::move(key);
    return event;
}

inline domain::PreparedDerived derived(std::string service, std::string key,
                                       std::chrono::milliseconds window = {},
                                       std::string payload = R"({"d":1})")
{
    domain::PreparedDerived event;
    event.digest = domain::key_digest(service, key);
    event.service = std::move(service);
    event.payload = std::move(payload);
    event.key = std::move(key);
    event.dedupe_window = window;
    return event;
}

// A base event with one derived event: the least that makes a message.
inline domain::PreparedEvent with_message(std::string ordering_key, std::string payload = R"({"d":1})")
{
    auto base = event("health");
    base.derived.push_back(derived("bus", std::move(ordering_key), {}, std::move(payload)));
    return base;
}

using Pending = std::future<app::AppendResult>;

// A second call of `done` throws on the writer's thread and so ends the process.
inline Pending append(app::EventLog& log, std::vector<domain::PreparedEvent> events)
{
    auto promise = std::make_shared<std::promise<app::AppendResult>>();
    auto pending = promise->get_future();
    log.append(std::move(events),
               [promise](app::AppendResult result) { promise->set_value(std::move(result)); });
    return pending;
}

inline Pending append(app::EventLog& log, domain::PreparedEvent event)
{
    return append(log, std::vector<domain::PreparedEvent>{std::move(event)});
}

inline app::AppendResult result_of(Pending& pending)
{
    if (pending.wait_for(patience) != std::future_status::ready)
        throw std::runtime_error("the writer did not answer");
    return pending.get();
}

inline app::AppendResult result_of(Pending&& pending) { return result_of(pending); }

inline std::vector<domain::IngestAnswer> stored(app::AppendResult result)
{
    REQUIRE_FALSE(result.refusal.has_value());
    std::vector<domain::IngestAnswer> answers;
    for (auto& answer : result.events) {
        REQUIRE(answer.has_value());
        answers.push_back(std::move(*answer));
    }
    return answers;
}

inline domain::IngestAnswer stored_one(app::AppendResult result)
{
    auto answers = stored(std::move(result));
    REQUIRE(answers.size() == 1);
    return std::move(answers.front());
}

inline domain::IngestAnswer stored_one(Pending&& pending) { return stored_one(result_of(pending)); }

inline std::optional<app::AppendRefusal> refusal_of(Pending&& pending) { return result_of(pending).refusal; }

// The writer of a database, with the batches it reported.
class Writer {
public:
    explicit Writer(infra::pg::EventWriterOptions options)
        : log(std::move(options), [this](const infra::pg::CommittedBatch& batch) {
              const std::lock_guard lock(mutex_);
              batches_.emplace_back(batch.requests, batch.events);
          })
    {
    }

    using Batch = std::pair<std::size_t, std::size_t>;  // requests, events

    // Complete once the writer is stopped: a batch is reported after its answers.
    std::vector<Batch> batches() const
    {
        const std::lock_guard lock(mutex_);
        return batches_;
    }

private:
    mutable std::mutex mutex_;
    std::vector<Batch> batches_;

public:
    infra::pg::EventWriter log;
};

}  // namespace pg_support
