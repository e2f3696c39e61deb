#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <variant>

namespace infra::kafka {

struct SchemaUnknown {};        // the registry says that it has no such schema
struct RegistryUnreachable {};  // it said nothing that can be relied on

using SchemaText = std::variant<std::string, SchemaUnknown, RegistryUnreachable>;

struct SchemaRefused {  // not compatible with those before it, or not allowed
    std::string reason;
};
using SchemaId = std::variant<std::uint32_t, SchemaRefused, RegistryUnreachable>;

// Client of a registry that speaks Confluent's API. Blocks, at most `request_timeout`. Not for use from two
// threads.
class SchemaRegistry {
public:
    // `url` may hold user and password; empty = there is none, and every schema is unknown.
    explicit SchemaRegistry(std::string url);
    ~SchemaRegistry();
    SchemaRegistry(const SchemaRegistry&) = delete;
    SchemaRegistry& operator=(const SchemaRegistry&) = delete;

    // The Avro schema of an id, as JSON text. A schema of another type, or one that refers to others, is an
    // empty text.
    SchemaText schema(std::uint32_t id);

    // The id of an Avro schema under a subject, which it is registered under unless it is already.
    SchemaId register_schema(const std::string& subject, const std::string& schema);

private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace infra::kafka
