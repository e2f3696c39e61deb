#pragma once

#include <boost/assert/source_location.hpp>
#include <boost/system/result.hpp>

#include <stdexcept>
#include <string>
#include <vector>

namespace domain {

// A field of a payload that is not what its service declares.
struct FieldError {
    std::string field;
    std::string message;

    bool operator==(const FieldError&) const = default;
};

// Input that cannot be accepted. `detail` is for the sender and names the place.
struct Fault {
    std::string detail;
    std::vector<FieldError> fields = {};
};

template <class T>
using Result = boost::system::result<T, Fault>;

// Found by Boost.System when value() is called on an error: a bug of the caller.
[[noreturn]] inline void throw_exception_from_error(const Fault& fault, const boost::source_location&)
{
    throw std::logic_error(fault.detail);
}

}  // namespace domain
