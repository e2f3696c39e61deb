#include "net/addresses.hpp"

#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>

#include <array>
#include <cstring>
#include <memory>
#include <netdb.h>
#include <netinet/in.h>

namespace infra::net {

std::optional<domain::IpAddress> ip_of(const sockaddr& address)
{
    if (address.sa_family == AF_INET) {
        sockaddr_in v4{};
        std::memcpy(&v4, &address, sizeof v4);
        std::array<std::uint8_t, 4> bytes{};
        std::memcpy(bytes.data(), &v4.sin_addr, bytes.size());
        return domain::ip_v4(bytes);
    }
    if (address.sa_family != AF_INET6) return std::nullopt;
    sockaddr_in6 v6{};
    std::memcpy(&v6, &address, sizeof v6);
    domain::IpAddress bytes{};
    std::memcpy(bytes.data(), &v6.sin6_addr, bytes.size());
    return bytes;
}

namespace {

struct FreeAddresses {
    void operator()(addrinfo* list) const { freeaddrinfo(list); }
};

using Addresses = std::unique_ptr<addrinfo, FreeAddresses>;

// Null when the name cannot be resolved.
Addresses resolve(const std::string& host)
{
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    if (getaddrinfo(host.c_str(), nullptr, &hints, &found) != 0) return nullptr;
    return Addresses(found);
}

}  // namespace

std::optional<std::string> permitted_address(const std::string& host, const domain::AddressPolicy& policy)
{
    const auto list = resolve(host);
    for (const auto* entry = list.get(); entry != nullptr; entry = entry->ai_next) {
        const auto ip = ip_of(*entry->ai_addr);
        if (!ip || !policy.permits(*ip)) continue;
        std::array<char, NI_MAXHOST> text{};
        if (getnameinfo(entry->ai_addr, entry->ai_addrlen, text.data(), text.size(), nullptr, 0,
                        NI_NUMERICHOST) == 0)
            return text.data();
    }
    return std::nullopt;
}

std::string reach_fault(const std::string& url, const domain::AddressPolicy& policy)
{
    const auto parsed = boost::urls::parse_uri(url);
    if (!parsed) return "is not a URL";
    const auto address = parsed->host_address();  // without the brackets of IPv6
    const std::string host(address.data(), address.size());
    const auto list = resolve(host);
    if (!list) return "its host cannot be resolved";
    for (const auto* entry = list.get(); entry != nullptr; entry = entry->ai_next) {
        const auto ip = ip_of(*entry->ai_addr);
        if (!ip || !policy.permits(*ip))
            return "its host has an address that is not public and not in OUTBOX_ALLOWED_NETWORKS";
    }
    return {};
}

}  // namespace infra::net
