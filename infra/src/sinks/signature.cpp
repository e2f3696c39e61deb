#include "sinks/signature.hpp"

#include "domain/base64.hpp"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <array>
#include <stdexcept>

namespace infra::sinks {

std::string webhook_signature(const std::vector<std::string>& keys, std::string_view id,
                              std::string_view timestamp, std::string_view body)
{
    std::string text;
    text.reserve(id.size() + timestamp.size() + body.size() + 2);
    text.append(id).append(".").append(timestamp).append(".").append(body);
    std::string value;
    for (const auto& key : keys) {
        std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
        unsigned size = 0;
        if (HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
                 reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data(),
                 &size) == nullptr)
            throw std::runtime_error("OpenSSL cannot sign");
        value += value.empty() ? "v1," : " v1,";
        value += domain::base64_encoded({reinterpret_cast<const char*>(digest.data()), size});
    }
    return value;
}

std::string digest_text(std::string_view text)
{
    constexpr std::size_t kept_bytes = 16;
    constexpr std::string_view digits = "0123456789abcdef";
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned size = 0;
    if (EVP_Digest(text.data(), text.size(), digest.data(), &size, EVP_sha256(), nullptr) != 1)
        throw std::runtime_error("OpenSSL cannot make a digest");
    std::string out;
    for (std::size_t i = 0; i < kept_bytes; ++i) {
        out += digits[digest[i] >> 4U];
        out += digits[digest[i] & 0x0FU];
    }
    return out;
}

}  // namespace infra::sinks
