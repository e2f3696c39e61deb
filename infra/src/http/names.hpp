#pragma once

#include <string_view>

namespace infra::http {

// Equal but for the case of ASCII letters, as header names and tokens compare.
bool same_name(std::string_view left, std::string_view right);

// Reason phrase of RFC 9110; "Status" for codes without one.
std::string_view reason_phrase(unsigned status);

}  // namespace infra::http
