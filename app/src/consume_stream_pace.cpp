#include "app/consume_stream.hpp"

#include <algorithm>

// When the consumer reads, waits, pauses and tells the broker.
namespace app {
namespace {

constexpr auto idle_wait = std::chrono::milliseconds(100);
constexpr auto busy_wait = std::chrono::milliseconds(1);
constexpr auto trouble_wait = std::chrono::milliseconds(20);

}  // namespace

domain::FlowLimits ConsumeStream::limits() const
{
    const auto share = std::max<std::size_t>(partitions_.size(), 1);
    return {std::max<std::size_t>(options_.waiting_messages_max / share, 1),
            std::max<std::size_t>(options_.waiting_bytes_max / share, 1)};
}

void ConsumeStream::regulate()
{
    const auto limits = this->limits();
    for (auto& [id, state] : partitions_) {
        switch (domain::decide_flow(state.paused, state.waiting.size(), state.waiting_bytes, limits)) {
            case domain::Flow::keep:
                break;
            case domain::Flow::pause:
                source_.pause(id);
                state.paused = true;
                break;
            case domain::Flow::resume:
                source_.resume(id);
                state.paused = false;
                break;
        }
    }
}

void ConsumeStream::commit_sometimes()
{
    if (Clock::now() >= commit_at_) commit_now(false);
}

void ConsumeStream::commit_now(bool wait)
{
    commit_at_ = Clock::now() + options_.commit_interval;
    if (to_commit_.empty()) return;
    source_.commit(to_commit_, wait);
    to_commit_.clear();
}

void ConsumeStream::wait_for_writer()
{
    if (!with_writer_) return;
    {
        std::unique_lock lock(mailbox_->mutex);
        mailbox_->wake.wait_for(lock, options_.drain_timeout,
                                [this] { return mailbox_->result.has_value(); });
    }
    settle();
}

void ConsumeStream::back_off()
{
    database_down_ = true;
    retry_at_ = Clock::now() + next_delay(failures_++);
}

std::chrono::milliseconds ConsumeStream::next_delay(unsigned failures) const
{
    const auto ceiling =
        std::min(options_.backoff_max, options_.backoff_min * (1U << std::min(failures, 10U)));
    // Never at once: a peer that refuses quickly must not be hammered.
    const auto spread = static_cast<double>((ceiling - options_.backoff_min / 2).count());
    return options_.backoff_min / 2 +
           std::chrono::milliseconds(static_cast<std::int64_t>(random_() * spread));
}

bool ConsumeStream::pause_for(std::chrono::milliseconds duration)
{
    std::unique_lock lock(mailbox_->mutex);
    return !mailbox_->wake.wait_for(lock, duration, [this] { return mailbox_->stopping; });
}

bool ConsumeStream::is_stopping() const
{
    const std::lock_guard lock(mailbox_->mutex);
    return mailbox_->stopping;
}

std::chrono::milliseconds ConsumeStream::poll_wait() const
{
    if (database_down_ || registry_down_) return trouble_wait;
    const bool waiting = std::any_of(partitions_.begin(), partitions_.end(),
                                     [](const auto& entry) { return !entry.second.waiting.empty(); });
    return with_writer_ || waiting || staged_.messages > 0 ? busy_wait : idle_wait;
}

}  // namespace app
