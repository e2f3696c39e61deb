#pragma once

#include "app/ports/record_decoder.hpp"

#include <memory>
#include <string>

namespace infra::kafka {

// Confluent's frame: a zero byte, the schema's id (32 bits, big-endian), the record in Avro's binary
// encoding. The writer's schema comes from the registry and is kept; a record that we know by its full name
// is resolved to our own schema, so docs and new fields of the writer change nothing; any other is read as it
// was written.
class AvroDecoder final : public app::RecordDecoder {
public:
    explicit AvroDecoder(const std::string& registry_url);
    ~AvroDecoder() override;

    app::RecordResult decode(std::string_view frame) override;

private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace infra::kafka
