#include "amqp/target.hpp"

#include <boost/url/decode_view.hpp>
#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>

#include <charconv>

namespace infra::amqp {
namespace {

constexpr std::uint16_t plain_port = 5672;
constexpr std::uint16_t tls_port = 5671;
// AMQP 0-9-1: names and keys are short strings.
constexpr std::size_t name_bytes_max = 255;

bool is_name(std::string_view text)
{
    return text.size() <= name_bytes_max && text.find('\0') == std::string_view::npos;
}

bool read_port(std::string_view text, std::uint16_t& port)
{
    const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), port);
    return code == std::errc() && end == text.data() + text.size() && port != 0;
}

bool read_parameter(std::string_view key, std::string_view value, Target& target)
{
    auto* const field = key == "exchange"      ? &target.exchange
                        : key == "routing_key" ? &target.routing_key
                        : key == "queue"       ? &target.queue
                                               : nullptr;
    if (field == nullptr) return false;
    *field = value;
    return true;
}

// The default exchange brings a message to the queue that its routing key names.
bool complete_queue(Target& target)
{
    if (target.queue.empty()) return true;
    if (target.exchange != Target().exchange || !target.routing_key.empty()) return false;
    target.exchange.clear();
    target.routing_key = target.queue;
    return true;
}

}  // namespace

std::optional<Target> parse_url(std::string_view text)
{
    const auto url = boost::urls::parse_uri({text.data(), text.size()});
    if (!url || url->host().empty() || url->has_fragment()) return std::nullopt;
    Target target;
    const std::string_view scheme(url->scheme().data(), url->scheme().size());
    if (scheme != "amqp" && scheme != "amqps") return std::nullopt;
    target.tls = scheme == "amqps";
    target.port = target.tls ? tls_port : plain_port;
    const std::string_view port(url->port().data(), url->port().size());
    if (url->has_port() && !read_port(port, target.port)) return std::nullopt;
    const auto host = url->host_address();  // without the brackets of IPv6
    target.host.assign(host.data(), host.size());
    if (url->has_userinfo()) target.user = url->user();
    if (url->has_password()) target.password = url->password();
    const auto path = url->encoded_path();
    if (path.size() > 1) {
        if (path.find('/', 1) != path.npos) return std::nullopt;
        const boost::urls::decode_view vhost(path.substr(1));
        target.vhost.assign(vhost.begin(), vhost.end());
    }
    for (const auto& parameter : url->params()) {
        if (!read_parameter(parameter.key, parameter.value, target)) return std::nullopt;
    }
    if (!complete_queue(target)) return std::nullopt;
    const bool good = is_name(target.user) && is_name(target.password) && is_name(target.vhost) &&
                      is_name(target.exchange) && is_name(target.routing_key);
    return good ? std::optional(std::move(target)) : std::nullopt;
}

}  // namespace infra::amqp
