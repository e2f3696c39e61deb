#pragma once

#include "domain/stream.hpp"

#include <string>
#include <string_view>
#include <variant>

namespace app {

struct DecodedRecord {
    std::string name;  // full name of the record
    std::string json;
};

struct RecordFault {
    domain::RejectReason reason{};
    std::string detail;  // ours, never a library's text
};

// The registry cannot be asked now: the message is neither good nor bad.
struct RegistryUnavailable {};

using RecordResult = std::variant<DecodedRecord, RecordFault, RegistryUnavailable>;

// Reads binary records (Avro in the Confluent frame). May block on the registry. Not for use from two
// threads.
class RecordDecoder {
public:
    virtual ~RecordDecoder() = default;
    virtual RecordResult decode(std::string_view frame) = 0;
};

}  // namespace app
