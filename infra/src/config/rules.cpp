#include "config/rules.hpp"

#include "amqp/target.hpp"
#include "config/settings.hpp"

#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

namespace infra::config {
namespace {

constexpr std::size_t topic_chars_max = 249;  // Kafka's own limit
constexpr std::size_t host_chars_max = 255;
constexpr std::int64_t port_max = 65535;

bool is_letter_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool consists_of(std::string_view text, std::string_view extra)
{
    return std::all_of(text.begin(), text.end(), [extra](char c) {
        return is_letter_or_digit(c) || extra.find(c) != std::string_view::npos;
    });
}

bool is_host(std::string_view text)
{
    // `[`, `]`, `:` and `%` belong to IPv6 addresses with their zone.
    return !text.empty() && text.size() <= host_chars_max && consists_of(text, ".-_:%[]");
}

bool is_broker(std::string_view text)
{
    const auto colon = text.rfind(':');
    if (colon == std::string_view::npos) return is_host(text);
    const auto port = parse_integer(text.substr(colon + 1));
    return is_host(text.substr(0, colon)) && port && *port >= 1 && *port <= port_max;
}

}  // namespace

std::string lower_case(std::string_view text)
{
    std::string lower(text);
    for (char& c : lower) {
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    }
    return lower;
}

std::string number_text(double value) { return fmt::format("{}", value); }

std::string joined_by_or(const std::vector<std::string>& names)
{
    std::string joined;
    for (std::size_t i = 0; i < names.size(); ++i) {
        if (i > 0) joined += i + 1 == names.size() ? " or " : ", ";
        joined += names[i];
    }
    return joined;
}

std::optional<bool> parse_boolean(std::string_view text)
{
    static constexpr std::array<std::string_view, 4> yes{"true", "1", "yes", "on"};
    static constexpr std::array<std::string_view, 4> no{"false", "0", "no", "off"};
    const std::string lower = lower_case(text);
    if (std::find(yes.begin(), yes.end(), lower) != yes.end()) return true;
    if (std::find(no.begin(), no.end(), lower) != no.end()) return false;
    return std::nullopt;
}

std::optional<std::int64_t> parse_integer(std::string_view text)
{
    std::int64_t value = 0;
    const char* const end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, value);
    if (error != std::errc{} || stop != end) return std::nullopt;
    return value;
}

std::optional<double> parse_number(std::string_view text)
{
    double value = 0;
    const char* const end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, value);
    // from_chars reads "inf" and "nan" too.
    if (error != std::errc{} || stop != end || !std::isfinite(value)) return std::nullopt;
    return value;
}

std::optional<Milliseconds> parse_seconds(std::string_view text)
{
    const auto value = parse_number(text);
    if (!value) return std::nullopt;
    return Milliseconds(std::llround(*value * 1000));
}

std::string check_any(std::string&) { return {}; }

std::string check_http_url(std::string& text)
{
    const auto url = boost::urls::parse_uri(text);
    std::string wanted = "must be a URL http://host[:port][/path] or https://...";
    if (!url) return wanted;
    const std::string scheme = lower_case(std::string_view(url->scheme().data(), url->scheme().size()));
    if (scheme != "http" && scheme != "https") return wanted;
    if (url->host().empty() || url->has_fragment()) return wanted;
    // Boost.URL admits ports of any length.
    const auto port = parse_integer(std::string_view(url->port().data(), url->port().size()));
    if (url->has_port() && !(port && *port >= 1 && *port <= port_max)) return wanted;
    return {};
}

std::string check_amqp_url(std::string& text)
{
    const bool good = amqp::parse_url(text) && text.find('?') == std::string::npos;
    return good ? std::string()
                : "must be a URL amqp[s]://[user[:password]@]host[:port][/vhost] without parameters";
}

std::string check_host(std::string& text)
{
    return is_host(text) ? std::string() : "must be an IP address or a host name";
}

std::string check_brokers(std::string& text)
{
    std::string_view rest = text;
    for (;;) {
        const auto comma = rest.find(',');
        std::string_view broker = rest.substr(0, comma);
        while (broker.starts_with(' ')) broker.remove_prefix(1);
        while (broker.ends_with(' ')) broker.remove_suffix(1);
        if (!is_broker(broker)) return "must be host:port[,host:port...]";
        if (comma == std::string_view::npos) return {};
        rest.remove_prefix(comma + 1);
    }
}

std::string check_topic(std::string& text)
{
    const bool reserved = text == "." || text == "..";
    if (!text.empty() && text.size() <= topic_chars_max && !reserved && consists_of(text, "._-")) return {};
    return fmt::format("must be 1 to {} of A-Z a-z 0-9 . _ -", topic_chars_max);
}

std::string check_event_target(std::string& text)
{
    constexpr std::string_view kafka = "kafka:";
    if (text.starts_with(kafka)) {
        std::string topic = text.substr(kafka.size());
        const std::string problem = check_topic(topic);
        return problem.empty() ? problem : "the topic " + problem;
    }
    const std::string problem = check_http_url(text);
    return problem.empty() ? problem : problem + ", or kafka:TOPIC";
}

std::string check_report_file(std::string& text)
{
    if (text.ends_with(".json") || text.ends_with(".csv")) return {};
    return "must end in .json or .csv";
}

Rule positive_seconds(std::chrono::seconds& (*field)(Config&))
{
    constexpr std::int64_t year = std::int64_t{365} * 24 * 3600;
    return {fmt::format("positive integer, at most {}", year),
            [=](Config& config, std::string_view value, std::string_view) -> std::string {
                const auto parsed = parse_integer(value);
                if (parsed && *parsed >= 1 && *parsed <= year) {
                    field(config) = std::chrono::seconds{*parsed};
                    return {};
                }
                // The words of the original propagator, which its users look for.
                const std::string shown = in_quotes(value);
                return fmt::format("PERIOD_IN_SECONDS must be a positive integer (got: {}), at most {}",
                                   shown.substr(1, shown.size() - 2), year);
            }};
}

Rule sink(SinkConfig& (*field)(Config&))
{
    const std::string allowed(sink_kinds);
    return {allowed,
            [=](Config& config, std::string_view value, std::string_view) -> std::string {
                auto parsed = parse_sink(value);
                if (!parsed) return "must be " + allowed;
                field(config) = *std::move(parsed);
                return {};
            },
            Shown::url};
}

Rule networks(std::vector<domain::Network>& (*field)(Config&))
{
    const std::string allowed = "networks such as 10.0.0.0/8,fd00::/8";
    return {allowed, [=](Config& config, std::string_view value, std::string_view) -> std::string {
                std::vector<domain::Network> parsed;
                while (!value.empty()) {
                    const auto comma = value.find(',');
                    const auto network = domain::parse_network(value.substr(0, comma));
                    if (!network) return "must be " + allowed;
                    parsed.push_back(*network);
                    value.remove_prefix(comma == std::string_view::npos ? value.size() : comma + 1);
                }
                field(config) = std::move(parsed);
                return {};
            }};
}

}  // namespace infra::config

namespace infra {

std::optional<SinkConfig> parse_sink(std::string_view text)
{
    std::string url(text);
    if (text == "log:") return SinkConfig{SinkKind::log, url};
    if (text == "null:") return SinkConfig{SinkKind::null, url};
    if (text.starts_with("kafka:")) {
        std::string topic(text.substr(text.find(':') + 1));
        if (!topic.empty() && !config::check_topic(topic).empty()) return std::nullopt;
        return SinkConfig{SinkKind::kafka, url};
    }
    if (amqp::parse_url(text)) return SinkConfig{SinkKind::amqp, url};
    if (config::check_http_url(url).empty()) return SinkConfig{SinkKind::http, url};
    return std::nullopt;
}

}  // namespace infra
