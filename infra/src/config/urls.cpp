#include "config/rules.hpp"

#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>
#include <fmt/format.h>
#include <libpq-fe.h>

#include <algorithm>
#include <memory>

namespace infra {
namespace {

struct FreeConninfo {
    void operator()(PQconninfoOption* options) const { PQconninfoFree(options); }
};

using Conninfo = std::unique_ptr<PQconninfoOption, FreeConninfo>;

// Parses without connecting and without looking at the environment. libpq's own error text may repeat the
// password, so it is dropped.
Conninfo parse_conninfo(const std::string& url)
{
    char* message = nullptr;
    Conninfo parsed(PQconninfoParse(url.c_str(), &message));
    PQfreemem(message);
    return parsed;
}

std::string value_of(const Conninfo& conninfo, std::string_view keyword)
{
    for (const PQconninfoOption* option = conninfo.get(); option->keyword != nullptr; ++option) {
        if (keyword == option->keyword) return option->val == nullptr ? "" : option->val;
    }
    return {};
}

bool is_printable_ascii(std::string_view text)
{
    for (const char c : text) {
        if (c <= ' ' || c > '~') return false;
    }
    return true;
}

// libpq has decoded the parts of the URI, and a terminal or a log must not get to see what "%1B" stands for.
std::string printable(std::string_view text)
{
    std::string shown;
    for (const char c : text) {
        if (is_printable_ascii({&c, 1})) {
            shown += c;
        } else {
            shown += fmt::format("%{:02X}", static_cast<unsigned char>(c));
        }
    }
    return shown;
}

// "a,b" and "1,2" -> "a:1,b:2"
std::string zip_hosts(std::string_view hosts, std::string_view ports)
{
    std::string zipped;
    for (;;) {
        const auto host_end = hosts.find(',');
        const auto port_end = ports.find(',');
        const auto host = hosts.substr(0, host_end);
        zipped +=
            host.find(':') == std::string_view::npos ? std::string(host) : '[' + std::string(host) + ']';
        if (const auto port = ports.substr(0, port_end); !port.empty()) (zipped += ':') += port;
        if (host_end == std::string_view::npos) return zipped;
        zipped += ',';
        hosts.remove_prefix(host_end + 1);
        // One port serves all hosts.
        if (port_end != std::string_view::npos) ports.remove_prefix(port_end + 1);
    }
}

bool are_ports(std::string_view ports)
{
    while (!ports.empty()) {
        const auto comma = ports.find(',');
        const auto port = ports.substr(0, comma);
        const auto number = config::parse_integer(port);
        if (!port.empty() && !(number && *number >= 1 && *number <= 65535)) return false;
        if (comma == std::string_view::npos) break;
        ports.remove_prefix(comma + 1);
    }
    return true;
}

// A password with a raw `@` or `/` is not refused by libpq: its tail becomes host, port or database name.
// Such a URI is refused here, because it cannot be meant and because its parts would be shown.
bool is_unambiguous(std::string_view url, const Conninfo& conninfo)
{
    const auto authority = url.substr(url.find("://") + 3);
    const auto path = authority.substr(std::min(authority.find('/'), authority.size()));
    if (path.substr(0, path.find('?')).find('@') != std::string_view::npos) return false;
    // A leading `@` is an abstract socket.
    const auto at = value_of(conninfo, "host").rfind('@');
    return (at == std::string::npos || at == 0) && are_ports(value_of(conninfo, "port"));
}

}  // namespace

std::string redacted_database_url(const std::string& url)
{
    static constexpr std::string_view scheme = "postgresql://";
    const Conninfo conninfo = parse_conninfo(url);
    if (!conninfo || url.find("://") == std::string::npos || !is_unambiguous(url, conninfo)) {
        return std::string(scheme) + "***";
    }
    const std::string user = printable(value_of(conninfo, "user"));
    const std::string host = printable(value_of(conninfo, "host"));
    const bool is_socket = host.starts_with('/') || host.starts_with('@');

    std::string shown(scheme);
    shown += user;
    if (!value_of(conninfo, "password").empty()) shown += ":***";
    if (shown.size() > scheme.size()) shown += '@';
    if (!is_socket) shown += zip_hosts(host, value_of(conninfo, "port"));
    (shown += '/') += printable(value_of(conninfo, "dbname"));
    if (is_socket) (shown += "?host=") += host;
    return shown;
}

std::string redacted_http_url(std::string_view url)
{
    const auto parsed = boost::urls::parse_uri({url.data(), url.size()});
    if (!parsed || !parsed->has_authority()) return "***";
    const auto scheme = parsed->scheme();
    const auto host_and_port = parsed->encoded_host_and_port();
    return std::string(scheme.begin(), scheme.end()) + "://" +
           std::string(host_and_port.data(), host_and_port.size());
}

std::string config::check_database_url(std::string& text)
{
    std::string wanted =
        "must be a libpq URI: postgresql://[user[:password]@][host][:port][/database][?parameters]";
    const auto scheme_end = text.find("://");
    if (scheme_end == std::string::npos) return wanted;
    const std::string scheme = lower_case(text.substr(0, scheme_end));
    const std::string base = scheme.substr(0, scheme.find('+'));
    if (base != "postgresql" && base != "postgres") return wanted;
    std::string url = base + text.substr(scheme_end);
    // libpq takes raw blanks and control characters as part of a name, which is never meant.
    if (!is_printable_ascii(url)) return wanted + ", other characters percent-encoded";
    const Conninfo conninfo = parse_conninfo(url);
    if (!conninfo || !is_unambiguous(url, conninfo)) {
        return wanted + ", reserved characters in the password percent-encoded";
    }
    text = std::move(url);
    return {};
}

std::string DatabaseConfig::redacted_url() const { return redacted_database_url(url); }

Validation IngestConfig::validation_of(std::string_view service) const
{
    const auto found = validation_by_service.find(service);
    return found == validation_by_service.end() ? validation : found->second;
}

Milliseconds RulesConfig::dedupe_window_of(std::string_view rule) const
{
    const auto found = dedupe_window_by_rule.find(rule);
    return found == dedupe_window_by_rule.end() ? dedupe_window : found->second;
}

}  // namespace infra
