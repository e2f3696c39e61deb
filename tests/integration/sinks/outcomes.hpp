#pragma once

#include "app/ports/message_sink.hpp"
#include "domain/ids.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace sink_support {

// Collects what becomes of messages. Outlives the sink that holds its functions.
class Outcomes {
public:
    app::MessageSink::Done next()
    {
        return [this](domain::DeliveryOutcome outcome) {
            const std::lock_guard lock(mutex_);
            outcomes_.push_back(std::move(outcome));
            changed_.notify_all();
        };
    }

    std::vector<domain::DeliveryOutcome> wait(std::size_t count)
    {
        std::unique_lock lock(mutex_);
        REQUIRE(changed_.wait_for(lock, std::chrono::seconds{30}, [&] { return outcomes_.size() >= count; }));
        return outcomes_;
    }

    std::size_t count()
    {
        const std::lock_guard lock(mutex_);
        return outcomes_.size();
    }

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<domain::DeliveryOutcome> outcomes_;
};

inline domain::OutboxMessage message_of(unsigned ordinal = 3, std::string payload = R"({"a": [1, "é"]})")
{
    const domain::TimePoint time = std::chrono::sys_days{std::chrono::year{2026} / 11 / 21} +
                                   std::chrono::hours{4} + std::chrono::milliseconds{250};
    const domain::Uuid base = domain::family_id(domain::id_tick_at(time), 42);
    return {.event_id = domain::family_member(base, ordinal),
            .topic = "event.bus",
            .payload = std::move(payload)};
}

}  // namespace sink_support
