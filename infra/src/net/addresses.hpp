#pragma once

#include "domain/address_policy.hpp"

#include <optional>
#include <string>
#include <sys/socket.h>

namespace infra::net {

// Nothing for a family that is neither IPv4 nor IPv6.
std::optional<domain::IpAddress> ip_of(const sockaddr& address);

// Why a client may not name this URL's host as a destination; empty when it may. Looks the name up, so it may
// take as long as the resolver. An answer is worth no more than its moment: the check that counts is made at
// every connect.
std::string reach_fault(const std::string& url, const domain::AddressPolicy& policy);

// The first address of the host that may be connected to, as digits: whoever connects to it connects to what
// was checked.
std::optional<std::string> permitted_address(const std::string& host, const domain::AddressPolicy& policy);

}  // namespace infra::net
