#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace infra::sinks {

// Value of `webhook-signature` (Standard Webhooks 1.0): one "v1,<Base64 of HMAC-SHA256>" a key, so that a
// receiver that knows the old or the new one accepts while keys are changed.
std::string webhook_signature(const std::vector<std::string>& keys, std::string_view id,
                              std::string_view timestamp, std::string_view body);

// The first 128 bits of SHA-256, in hexadecimal.
std::string digest_text(std::string_view text);

}  // namespace infra::sinks
