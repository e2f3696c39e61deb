#include "domain/address_policy.hpp"

#include <algorithm>
#include <charconv>

namespace domain {
namespace {

constexpr unsigned v4_offset_bits = 96;

std::optional<unsigned> number(std::string_view text, unsigned max, int base)
{
    unsigned value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (text.empty() || error != std::errc{} || end != text.data() + text.size() || value > max)
        return std::nullopt;
    return value;
}

std::optional<std::array<std::uint8_t, 4>> parse_v4(std::string_view text)
{
    std::array<std::uint8_t, 4> bytes{};
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        const auto dot = text.find('.');
        const bool last = i + 1 == bytes.size();
        if (last != (dot == std::string_view::npos)) return std::nullopt;
        const auto part = text.substr(0, dot);
        const auto value = number(part, 255, 10);
        // "010" is eight for some readers and ten for others.
        if (!value || (part.size() > 1 && part.front() == '0')) return std::nullopt;
        bytes[i] = static_cast<std::uint8_t>(*value);
        if (!last) text.remove_prefix(dot + 1);
    }
    return bytes;
}

// Groups of one side of "::".
bool read_groups(std::string_view text, std::vector<std::uint8_t>& bytes)
{
    while (!text.empty()) {
        const auto colon = text.find(':');
        const auto group = text.substr(0, colon);
        if (colon == std::string_view::npos && group.find('.') != std::string_view::npos) {
            const auto v4 = parse_v4(group);
            if (!v4) return false;
            bytes.insert(bytes.end(), v4->begin(), v4->end());
            return true;
        }
        const auto value = group.size() <= 4 ? number(group, 0xFFFF, 16) : std::nullopt;
        if (!value) return false;
        bytes.push_back(static_cast<std::uint8_t>(*value >> 8U));
        bytes.push_back(static_cast<std::uint8_t>(*value & 0xFFU));
        if (colon == std::string_view::npos) return true;
        text.remove_prefix(colon + 1);
        if (text.empty()) return false;
    }
    return true;
}

std::optional<IpAddress> parse_address(std::string_view text)
{
    if (text.find(':') == std::string_view::npos) {
        const auto v4 = parse_v4(text);
        return v4 ? std::optional(ip_v4(*v4)) : std::nullopt;
    }
    const auto gap = text.find("::");
    std::vector<std::uint8_t> head, tail;
    if (!read_groups(text.substr(0, gap), head)) return std::nullopt;
    if (gap != std::string_view::npos && !read_groups(text.substr(gap + 2), tail)) return std::nullopt;
    IpAddress address{};
    const auto size = head.size() + tail.size();
    if (gap == std::string_view::npos ? size != address.size() : size + 2 > address.size())
        return std::nullopt;
    std::copy(head.begin(), head.end(), address.begin());
    std::copy(tail.rbegin(), tail.rend(), address.rbegin());
    return address;
}

// IANA's special-purpose registries, as far as nothing public lives there.
const std::vector<Network>& refused()
{
    static const std::vector<Network> networks = [] {
        std::vector<Network> list;
        for (const std::string_view text :
             {"0.0.0.0/8",     "10.0.0.0/8",      "100.64.0.0/10",  "127.0.0.0/8",    "169.254.0.0/16",
              "172.16.0.0/12", "192.0.0.0/24",    "192.0.2.0/24",   "192.88.99.0/24", "192.168.0.0/16",
              "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3",    "::/96",
              "64:ff9b::/96",  "64:ff9b:1::/48",  "100::/64",       "2001::/23",      "2001:db8::/32",
              "2002::/16",     "fc00::/7",        "fe80::/10",      "fec0::/10",      "ff00::/8"}) {
            list.push_back(*parse_network(text));
        }
        return list;
    }();
    return networks;
}

}  // namespace

IpAddress ip_v4(const std::array<std::uint8_t, 4>& bytes)
{
    IpAddress address{};
    address[10] = address[11] = 0xFF;
    std::copy(bytes.begin(), bytes.end(), address.begin() + 12);
    return address;
}

bool Network::contains(const IpAddress& other) const
{
    const std::size_t whole = prefix / 8;
    if (!std::equal(address.begin(), address.begin() + static_cast<std::ptrdiff_t>(whole), other.begin()))
        return false;
    const unsigned rest = prefix % 8;
    if (rest == 0) return true;
    const auto mask = static_cast<std::uint8_t>(0xFFU << (8 - rest));
    return (address[whole] & mask) == (other[whole] & mask);
}

std::optional<Network> parse_network(std::string_view text)
{
    const auto slash = text.find('/');
    const auto address = parse_address(text.substr(0, slash));
    if (!address) return std::nullopt;
    Network network{*address};
    if (slash == std::string_view::npos) return network;
    const bool v6 = text.find(':') != std::string_view::npos;
    const auto bits = number(text.substr(slash + 1), v6 ? 128 : 32, 10);
    if (!bits) return std::nullopt;
    network.prefix = v6 ? *bits : *bits + v4_offset_bits;
    return network;
}

bool AddressPolicy::permits(const IpAddress& address) const
{
    const auto holds = [&](const Network& network) { return network.contains(address); };
    if (std::any_of(allowed_.begin(), allowed_.end(), holds)) return true;
    return std::none_of(refused().begin(), refused().end(), holds);
}

}  // namespace domain
