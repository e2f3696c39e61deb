#pragma once

#include "app/ports/message_source.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace infra::kafka {

struct KafkaSourceOptions {
    std::string bootstrap_servers;
    std::string group;
    std::string client_id;
    std::vector<std::string> topics;
    bool from_beginning = true;  // a group that was never here: from the oldest message, else only new ones
    std::map<std::string, std::string> properties;  // librdkafka's, such as security.protocol
};

// A consumer group's member on librdkafka. Positions come from the listener, never from the broker; automatic
// commits are off. Throws std::runtime_error on a property that librdkafka does not accept.
class KafkaSource final : public app::MessageSource {
public:
    // Messages after the stored position, of each assigned partition. Asked for every few seconds on a thread
    // of its own, so that it is right for a paused partition, too.
    using LagSeen = std::function<void(const std::map<domain::PartitionId, std::int64_t>& lag)>;

    KafkaSource(KafkaSourceOptions options, LagSeen lag_seen);
    ~KafkaSource() override;

    void subscribe(Listener& listener) override;
    std::optional<domain::StreamMessage> poll(std::chrono::milliseconds wait) override;
    void pause(const domain::PartitionId& partition) override;
    void resume(const domain::PartitionId& partition) override;
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

// What is wrong with a librdkafka property that is passed through; empty = nothing.
std::string property_fault(const std::string& name, const std::string& value);

}  // namespace infra::kafka
