#include "net/addresses.hpp"

#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>

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

std::string reach_fault(const std::string& url, const domain::AddressPolicy& policy)
{
    const auto parsed = boost::urls::parse_uri(url);
    if (!parsed) return "is not a URL";
    const auto address = parsed->host_address();  // without the brackets of IPv6
    const std::string host(address.data(), address.size());
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    if (getaddrinfo(host.c_str(), nullptr, &hints, &found) != 0) return "its host cannot be resolved";
    const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> list(found, &freeaddrinfo);
    for (const auto* entry = list.get(); entry != nullptr; entry = entry->ai_next) {
        const auto ip = ip_of(*entry->ai_addr);
        if (!ip || !policy.permits(*ip))
            return "its host has an address that is not public and not in OUTBOX_ALLOWED_NETWORKS";
    }
    return {};
}

}  // namespace infra::net
