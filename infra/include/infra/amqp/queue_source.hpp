#pragma once

#include "app/ports/message_source.hpp"

#include <functional>
#include <memory>
#include <string>

namespace infra::amqp {

struct QueueSourceOptions {
    std::string url;    // as amqp/target.hpp describes it, without parameters
    std::string queue;  // durable, made where there is none
};

// A queue of an AMQP 0-9-1 broker (RabbitMQ) as a source of messages: one partition whose offsets are the
// delivery tags of the present connection. commit() is the acknowledgement, so the broker repeats whatever a
// lost connection left without one. A lost connection is made anew by poll(), after a growing pause.
class QueueSource final : public app::MessageSource {
public:
    // Throws std::invalid_argument when the URL is none. `random_fraction` spreads the pauses.
    QueueSource(const QueueSourceOptions& options, std::function<double()> random_fraction);
    ~QueueSource() override;

    void subscribe(Listener& listener) override;
    std::optional<domain::StreamMessage> poll(std::chrono::milliseconds wait) override;
    void pause(const domain::PartitionId& partition) override;
    void resume(const domain::PartitionId& partition) override;
    // False: a queue has no way back.
    bool seek(const app::Positions& positions) override;
    void commit(const app::Positions& positions, bool wait) override;
    app::Positions first_positions(const std::vector<domain::PartitionId>& partitions) override;
    void close() override;

    // From any thread.
    bool reachable() const;

private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace infra::amqp
