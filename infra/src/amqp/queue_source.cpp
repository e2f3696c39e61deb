#include "infra/amqp/queue_source.hpp"

#include "amqp/receiver.hpp"
#include "domain/retry_policy.hpp"
#include "failpoint.hpp"
#include "infra/log/log.hpp"

#include <algorithm>
#include <atomic>
#include <stdexcept>
#include <thread>

namespace infra::amqp {
namespace {

using Clock = std::chrono::steady_clock;

// Of every answer of the broker; a program that is told to stop may wait for it.
constexpr std::chrono::milliseconds answer_timeout{5'000};
// Between two tries to connect.
const domain::RetryPolicy reconnects{
    .base = std::chrono::milliseconds(250),
    .max = std::chrono::milliseconds(10'000),
};
constexpr std::chrono::milliseconds reconnect_pause_min{50};
constexpr std::int64_t first_tag = 1;

Target target_of(const QueueSourceOptions& options)
{
    auto target = parse_url(options.url);
    if (!target) throw std::invalid_argument("EVENT_HUB_URL is no URL of an AMQP broker");
    target->queue = options.queue;
    return *std::move(target);
}

}  // namespace

class QueueSource::Impl {
public:
    Impl(const QueueSourceOptions& options, std::function<double()> random_fraction)
        : target_(target_of(options)), random_(std::move(random_fraction))
    {
    }

    void subscribe(Listener& listener) { listener_ = &listener; }

    std::optional<domain::StreamMessage> poll(std::chrono::milliseconds wait)
    {
        if (!fault_.empty()) lose();
        if (!receiver_ && !connect()) {
            std::this_thread::sleep_for(wait);
            return std::nullopt;
        }
        try {
            return receive(wait);
        } catch (const Fault& fault) {
            fault_ = fault.what();
            lose();
            return std::nullopt;
        }
    }

    void pause(bool paused) { paused_ = paused; }

    // Called from within the listener too, so what goes wrong is dealt with by the next poll().
    void commit(const app::Positions& positions)
    {
        if (!receiver_ || positions.empty() || !fault_.empty()) return;
        failpoint("queue.acknowledging");
        try {
            receiver_->acknowledge(static_cast<std::uint64_t>(positions.begin()->second - 1));
        } catch (const Fault& fault) {
            fault_ = fault.what();
        }
    }

    void close()
    {
        if (!receiver_) return;
        listener_->revoked(!fault_.empty());
        if (fault_.empty()) receiver_->close();
        receiver_.reset();
        reachable_ = false;
    }

    bool reachable() const { return reachable_; }

private:
    bool connect()
    {
        if (Clock::now() < connect_at_) return false;
        try {
            receiver_.emplace(target_, ConnectOptions{answer_timeout, "polis-consumer"});
        } catch (const Fault& fault) {
            log_warning("amqp connection not made", {{"reason", fault.what()}});
            connect_later();
            return false;
        }
        failures_ = 0;
        paused_ = false;
        reachable_ = true;
        log_info("amqp queue consumed", {{"queue", target_.queue}});
        listener_->assigned({{target_.queue, 0}});
        return true;
    }

    std::optional<domain::StreamMessage> receive(std::chrono::milliseconds wait)
    {
        if (paused_) {
            receiver_->beat();
            std::this_thread::sleep_for(wait);
            return std::nullopt;
        }
        auto delivery = receiver_->next(wait);
        if (!delivery) return std::nullopt;
        return app::to_stream_message(target_.queue, *std::move(delivery));
    }

    void lose()
    {
        log_warning("amqp connection lost", {{"reason", fault_}});
        fault_.clear();
        receiver_.reset();
        reachable_ = false;
        connect_later();
        // What was delivered and not acknowledged comes again.
        listener_->revoked(true);
    }

    void connect_later()
    {
        const auto pause = domain::retry_wait(reconnects, ++failures_, random_(), std::nullopt);
        connect_at_ = Clock::now() + std::max(pause, reconnect_pause_min);
    }

    const Target target_;
    const std::function<double()> random_;
    Listener* listener_ = nullptr;
    std::optional<Receiver> receiver_;
    std::string fault_;  // of a connection that is still to be given up
    bool paused_ = false;
    std::uint32_t failures_ = 0;
    Clock::time_point connect_at_{};
    std::atomic<bool> reachable_{false};
};

QueueSource::QueueSource(const QueueSourceOptions& options, std::function<double()> random_fraction)
    : impl_(std::make_unique<Impl>(options, std::move(random_fraction)))
{
}

QueueSource::~QueueSource() = default;
void QueueSource::subscribe(Listener& listener) { impl_->subscribe(listener); }
std::optional<domain::StreamMessage> QueueSource::poll(std::chrono::milliseconds wait)
{
    return impl_->poll(wait);
}
void QueueSource::pause(const domain::PartitionId& /*partition*/) { impl_->pause(true); }
void QueueSource::resume(const domain::PartitionId& /*partition*/) { impl_->pause(false); }
bool QueueSource::seek(const app::Positions& /*positions*/) { return false; }
void QueueSource::commit(const app::Positions& positions, bool /*wait*/) { impl_->commit(positions); }
app::Positions QueueSource::first_positions(const std::vector<domain::PartitionId>& partitions)
{
    app::Positions first;
    for (const auto& id : partitions) first.emplace(id, first_tag);
    return first;
}
void QueueSource::close() { impl_->close(); }
bool QueueSource::reachable() const { return impl_->reachable(); }

}  // namespace infra::amqp
