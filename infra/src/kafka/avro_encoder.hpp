#pragma once

#include <boost/json/value.hpp>

#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

namespace infra::kafka {

// The value does not fit the schema. The text names the place, never a value.
class AvroMisfit : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

// Writes JSON in Avro's binary encoding: a union takes the first branch that fits, an enum a string, bytes
// and fixed Base64, a string any value (its JSON text, unless it is one). Members that the schema does not
// name are left out; a field without a member is null where it may be. As avro_json.hpp reads them.
class AvroEncoder {
public:
    // Throws std::invalid_argument when it is no schema of a record, or one that schema_danger() refuses.
    explicit AvroEncoder(std::string_view schema);
    ~AvroEncoder();
    AvroEncoder(AvroEncoder&&) noexcept;
    AvroEncoder& operator=(AvroEncoder&&) noexcept;

    std::string record_name() const;
    // Throws AvroMisfit.
    std::string encode(const boost::json::value& value) const;

private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace infra::kafka
