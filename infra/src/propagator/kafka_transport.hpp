#pragma once

#include "propagator/transport.hpp"

#include <chrono>
#include <cstdint>
#include <deque>
#include <librdkafka/rdkafka.h>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace infra::propagator {

struct KafkaTransportOptions {
    std::string bootstrap_servers;
    std::vector<std::string> topics;  // by stream; empty = a stream that is not sent to Kafka
    std::chrono::milliseconds
        timeout{};  // until the broker has acknowledged, librdkafka's own retries included
};

// Produces events to Kafka topics. An acknowledged record counts as status 200.
class KafkaTransport final : public LoopTransport, private Watcher {
public:
    // `loop` must outlive it. Throws std::runtime_error when librdkafka refuses the configuration.
    KafkaTransport(KafkaTransportOptions options, EventLoop& loop);
    ~KafkaTransport() override;
    KafkaTransport(const KafkaTransport&) = delete;
    KafkaTransport& operator=(const KafkaTransport&) = delete;

    void send(const app::Attempt& attempt, Done done) override;
    void abandon() override;
    Moment next_timer() const override;
    void run_timers() override;

private:
    struct ProducerDelete {
        void operator()(rd_kafka_t* producer) const { rd_kafka_destroy(producer); }
    };
    struct QueueDelete {
        void operator()(rd_kafka_queue_t* queue) const { rd_kafka_queue_destroy(queue); }
    };

    void ready(int fd, std::uint32_t events) override;
    void poll();
    static void on_delivery(rd_kafka_t* producer, const rd_kafka_message_t* message, void* self);

    KafkaTransportOptions options_;
    EventLoop& loop_;
    Descriptor event_;  // written to by librdkafka when reports are waiting
    std::unique_ptr<rd_kafka_t, ProducerDelete> producer_;
    std::unique_ptr<rd_kafka_queue_t, QueueDelete> reports_;
    // Records that librdkafka has and has not reported yet, by the number that it carries for us.
    std::unordered_map<std::uintptr_t, Done> outstanding_;
    std::uintptr_t last_number_ = 0;
    Moment poll_at_{};  // whether or not the event was written to
    // Records that librdkafka did not take: reported later, since never from inside send().
    std::deque<std::pair<Done, domain::propagation::TryResult>> refused_;
};

}  // namespace infra::propagator
