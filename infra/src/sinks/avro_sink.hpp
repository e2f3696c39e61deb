#pragma once

#include "app/ports/message_sink.hpp"

#include <memory>
#include <string>

namespace infra::sinks {

// Puts each payload into Confluent's frame (a zero byte, the schema's id, the record in Avro's binary
// encoding) and hands it to the sink behind. The schema is the given one, or is inferred from the payload; it
// is registered under its record's full name (RecordNameStrategy) and kept. A thread of its own asks the
// registry, so send() never waits for it; the order of messages stays.
class AvroSink final : public app::MessageSink {
public:
    // `schema` is an Avro schema or empty. Throws std::invalid_argument when it is none.
    AvroSink(const std::string& registry_url, const std::string& schema, std::unique_ptr<MessageSink> behind);
    ~AvroSink() override;
    AvroSink(const AvroSink&) = delete;
    AvroSink& operator=(const AvroSink&) = delete;

    void send(const domain::OutboxMessage& message, Done done) override;
    void stop() override;

private:
    class Framer;
    class Loop;
    std::unique_ptr<Loop> loop_;
};

}  // namespace infra::sinks
