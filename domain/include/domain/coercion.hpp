#pragma once

#include <boost/json/value.hpp>

#include <optional>
#include <string>

namespace domain {

enum class FieldType { integer, real, boolean, text };

// The value as the field's type, by the lax rules of contracts 0.1 (those of the system that Polis replaces):
// "12", "12.0" and " 1_000 " are integers, "1e3" is a real number, "yes" and 0 are booleans, and only text is
// text. Empty where the value cannot be read so; an infinity or NaN cannot, because JSON has neither.
std::optional<boost::json::value> coerce(const boost::json::value& value, FieldType type);

// "must be an integer" and so on.
const char* expectation(FieldType type);

// The value as Python's str() prints it, because dedupe keys of existing senders look so: None, True, 12.5.
std::string python_text(const boost::json::value& value);

// The value as JSON text. Real numbers keep their point (650.0), where Boost.JSON would write 6.5E2 and
// PostgreSQL then 650: receivers that tell integers from real numbers see what the system that Polis replaces
// sent them.
std::string json_text(const boost::json::value& value);

}  // namespace domain
