#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace domain {

// RFC 4648 section 4, padding required.
std::optional<std::string> base64_decoded(std::string_view text);
std::string base64_encoded(std::string_view bytes);

}  // namespace domain
