#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <variant>

namespace infra::kafka {

struct SchemaUnknown {};        // the registry says that it has no such schema
struct RegistryUnreachable {};  // it said nothing that can be relied on

using SchemaText = std::variant<std::string, SchemaUnknown, RegistryUnreachable>;

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

private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace infra::kafka
