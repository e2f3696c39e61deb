#pragma once

#include "domain/ids.hpp"
#include "pg/connection.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace infra::pg {

// One-dimensional arrays in PostgreSQL's binary format (array_recv): header, then length and bytes per
// element. A batch of any size is then one statement with a constant text.
class BinaryArray {
public:
    enum class Element : std::uint32_t {
        bytea = 17,
        int2 = 21,
        int8 = 20,
        text = 25,
        timestamptz = 1184,
        uuid = 2950,
        jsonb = 3802
    };

    explicit BinaryArray(Element element);

    void add_null();
    void add(std::int16_t value);
    void add(std::int64_t value);
    void add(const domain::Uuid& value);
    void add_text(std::string_view value);  // for text and bytea
    void add_json(std::string_view text);   // for jsonb: its version byte goes in front
    void add_time(domain::TimePoint value);

    Param param();

private:
    void put32(std::uint32_t value);
    void put64(std::uint64_t value);

    std::string bytes_;
    std::uint32_t count_ = 0;
    bool has_null_ = false;
};

// {"uuid",NULL,...} as PostgreSQL reads it, for the one array inside of an array that binary cannot carry.
std::string uuid_array_text(const std::vector<std::optional<domain::Uuid>>& ids);
std::vector<std::optional<domain::Uuid>> parse_uuid_array(std::string_view text);

}  // namespace infra::pg
