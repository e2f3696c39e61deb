#pragma once

#include "domain/result.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace domain {

// An IPv4 address is kept as its v4-mapped IPv6 form, so that both spellings are one address.
using IpAddress = std::array<std::uint8_t, 16>;

IpAddress ip_v4(const std::array<std::uint8_t, 4>& bytes);

struct Network {
    IpAddress address{};
    unsigned prefix = 128;  // bits, counted in the IPv6 form

    bool contains(const IpAddress& other) const;
};

// Reads "10.0.0.0/8", "fd00::/8" or a single address.
std::optional<Network> parse_network(std::string_view text);

// Which addresses a destination named by a client may have. Private, loopback, link-local (cloud metadata
// among them), shared, multicast, reserved and documentation ranges are refused unless allowed by name.
class AddressPolicy {
public:
    explicit AddressPolicy(std::vector<Network> allowed = {}) : allowed_(std::move(allowed)) {}
    bool permits(const IpAddress& address) const;

private:
    std::vector<Network> allowed_;
};

}  // namespace domain
