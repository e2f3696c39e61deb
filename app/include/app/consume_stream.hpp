#pragma once

#include "app/decode_message.hpp"
#include "app/ports/message_source.hpp"
#include "app/ports/stream_log.hpp"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace app {

struct ConsumeOptions {
    std::string group;
    std::size_t batch_rows_max = 1000;  // of one transaction
    std::size_t batch_bytes_max = std::size_t{8}
                                  << 20U;       // of one transaction, unless one message alone has more
    std::size_t waiting_messages_max = 20'000;  // all partitions together
    std::size_t waiting_bytes_max = std::size_t{64} << 20U;  // all partitions together
    std::chrono::milliseconds drain_timeout{10'000};
    std::chrono::milliseconds backoff_min{100};
    std::chrono::milliseconds backoff_max{10'000};
    std::chrono::milliseconds commit_interval{1000};
};

// Hears what happens, on the consumer's thread.
class ConsumeObserver {
public:
    virtual ~ConsumeObserver() = default;
    virtual void stored(std::string_view topic, const domain::PreparedEvent& event,
                        const domain::IngestAnswer& answer) = 0;
    virtual void quarantined(const QuarantinedMessage& message) = 0;
    virtual void committed(std::size_t messages, std::chrono::nanoseconds duration) = 0;
    virtual void trouble(std::string_view what) = 0;  // a literal; once per failed try
};

// Turns messages into stored events, exactly once: many messages a transaction, the positions in the same
// transaction. One thread runs it; it reads and decodes the next batch while the writer commits the one
// before.
class ConsumeStream final : private MessageSource::Listener {
public:
    // Without `positions` the broker keeps them, as acknowledgements: it repeats what was stored and not yet
    // told, and the messages' dedupe keys make repeats harmless.
    ConsumeStream(MessageSource& source, StreamLog& log, PositionStore* positions,
                  const DecodeMessage& decode, ConsumeObserver& observer, ConsumeOptions options,
                  std::function<double()> random_fraction);
    ~ConsumeStream() override;
    ConsumeStream(const ConsumeStream&) = delete;
    ConsumeStream& operator=(const ConsumeStream&) = delete;

    // Until stop(); then the open transaction is finished and the group is left.
    void run();
    // From any thread.
    void stop();
    // Why nothing moves, from any thread; empty = ready.
    std::vector<std::string> not_ready() const;

private:
    using Clock = std::chrono::steady_clock;

    struct PartitionState {
        explicit PartitionState(std::int64_t stored) : position(stored), taken(stored) {}
        domain::PartitionPosition position;
        std::int64_t taken;  // next offset that is in no batch
        std::deque<domain::StreamMessage> waiting = {};
        std::size_t waiting_bytes = 0;
        bool paused = false;
        bool held = false;  // its next message needs the registry
    };

    struct Batch {
        StreamBatch content;
        std::vector<domain::StreamMessage> event_messages;  // one an event
        std::map<domain::PartitionId, domain::PositionStep> steps;
        std::size_t rows = 0;
        std::size_t bytes = 0;
        std::size_t messages = 0;
    };

    // What the writer's callback leaves for the consumer's thread; shared, because it may come after our end.
    struct Mailbox {
        std::mutex mutex;
        std::condition_variable wake;
        std::optional<AppendResult> result;
        bool stopping = false;
    };

    Positions assigned(const std::vector<domain::PartitionId>& partitions) override;
    void revoked(bool lost) override;

    Positions start_positions(const std::vector<domain::PartitionId>& partitions);
    void read_some();
    void receive(domain::StreamMessage message);
    void stage();
    bool stage_next(const domain::PartitionId& id, PartitionState& state);
    void take(Batch& batch, const domain::PartitionId& id, PartitionState& state);
    QuarantinedMessage quarantined(Rejected rejected, domain::StreamMessage message) const;
    bool is_full(const Batch& batch) const;
    void send();
    void settle();
    void settle_stored(const AppendedEvents& answers);
    void quarantine_poison(const AppendedEvents& events);
    void restart();
    bool was_stored(const Positions& stored) const;
    void clear_partitions();
    void regulate();
    void commit_sometimes();
    void commit_now(bool wait);
    void wait_for_writer();
    void back_off();
    bool pause_for(std::chrono::milliseconds duration);  // false = stopping
    bool is_stopping() const;
    std::chrono::milliseconds poll_wait() const;
    std::chrono::milliseconds next_delay(unsigned failures) const;
    domain::FlowLimits limits() const;

    MessageSource& source_;
    StreamLog& log_;
    PositionStore* const positions_;
    const DecodeMessage& decode_;
    ConsumeObserver& observer_;
    const ConsumeOptions options_;
    const std::function<double()> random_;
    const std::shared_ptr<Mailbox> mailbox_ = std::make_shared<Mailbox>();

    std::map<domain::PartitionId, PartitionState> partitions_;
    Batch staged_;
    std::shared_ptr<Batch> current_;  // being stored, or to be sent again
    bool with_writer_ = false;
    bool orphaned_ = false;  // `current_` belongs to partitions that were taken away
    bool restart_pending_ = false;
    Clock::time_point sent_at_{};
    Clock::time_point retry_at_{};
    Clock::time_point registry_retry_at_{};
    Clock::time_point commit_at_{};
    unsigned failures_ = 0;
    unsigned registry_failures_ = 0;
    Positions to_commit_;
    std::atomic<bool> database_down_{false};
    std::atomic<bool> registry_down_{false};
};

}  // namespace app
