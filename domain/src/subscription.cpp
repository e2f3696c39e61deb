#include "domain/subscription.hpp"

#include "domain/base64.hpp"

#include <boost/json/serialize.hpp>

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <type_traits>

namespace domain {
namespace {

namespace json = boost::json;

constexpr std::size_t name_chars_max = 100;
constexpr std::size_t topics_max = 64;
constexpr std::size_t topic_chars_max = 249;
constexpr std::size_t headers_max = 32;
constexpr std::size_t header_chars_max = 4096;
constexpr std::size_t sink_chars_max = 2048;
constexpr std::size_t secrets_max = 2;  // the new one and the one that is being replaced
// Standard Webhooks 1.0: 24 to 64 bytes.
constexpr std::size_t secret_bytes_min = 24;
constexpr std::size_t secret_bytes_max = 64;
constexpr std::size_t schema_bytes_max = std::size_t{64} * 1024;
constexpr std::string_view secret_prefix = "whsec_";

std::string_view text_of(const json::value& value)
{
    return {value.get_string().data(), value.get_string().size()};
}

bool is_word(std::string_view text, std::string_view extra)
{
    return !text.empty() && std::all_of(text.begin(), text.end(), [extra](char c) {
        return std::isalnum(static_cast<unsigned char>(c)) != 0 || extra.find(c) != std::string_view::npos;
    });
}

// What the sink itself says; a header of the same name would contradict it or break the request.
bool is_reserved(std::string name)
{
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    static constexpr std::array<std::string_view, 8> reserved{
        "host", "content-length", "content-type", "transfer-encoding",
        "te",   "connection",     "expect",       "upgrade"};
    return std::find(reserved.begin(), reserved.end(), name) != reserved.end() || name.starts_with("ce-") ||
           name.starts_with("webhook-");
}

class Reader {
public:
    explicit Reader(const json::object& json) : json_(json) {}

    Result<SubscriptionSettings> read()
    {
        check_names();
        topics();
        if (const auto* value = given("filter")) settings_.filter = Filter::parse(*value, "filter", faults_);
        sink();
        secrets();
        headers();
        if (const auto seconds = number("timeout_seconds", 0.001, 3600, "0.001 to 3600"))
            settings_.timeout = std::chrono::milliseconds(std::llround(*seconds * 1000));
        settings_.rate_per_second = number("rate_per_second", 0.01, 1e6, "0.01 to 1000000");
        settings_.in_flight_max = whole("in_flight_max", 1, 10'000);
        settings_.attempts_max = whole("max_attempts", 1, 100);
        one_of("start", {"now", DeliveryStart::now}, {"beginning", DeliveryStart::beginning},
               settings_.start);
        one_of("body", {"single", DeliveryBody::single}, {"batch", DeliveryBody::batch}, settings_.body);
        one_of("encoding", {"json", PayloadEncoding::json}, {"avro", PayloadEncoding::avro},
               settings_.encoding);
        schema();
        if (const auto* value = given("enabled")) {
            if (value->is_bool()) {
                settings_.enabled = value->get_bool();
            } else {
                fault("enabled", "must be true or false");
            }
        }
        check_combinations();
        if (!faults_.empty()) return Fault{"The subscription is not valid", std::move(faults_)};
        return std::move(settings_);
    }

private:
    void fault(std::string field, std::string message)
    {
        faults_.push_back({std::move(field), std::move(message)});
    }

    const json::value* given(std::string_view name) const
    {
        const auto* value = json_.if_contains({name.data(), name.size()});
        return value == nullptr || value->is_null() ? nullptr : value;
    }

    void check_names()
    {
        static constexpr std::array<std::string_view, 14> known{
            "topics",        "filter",          "sink",         "secrets", "headers", "timeout_seconds",
            "in_flight_max", "rate_per_second", "max_attempts", "start",   "body",    "encoding",
            "schema",        "enabled"};
        for (const auto& member : json_) {
            const std::string name(member.key().data(), member.key().size());
            if (std::find(known.begin(), known.end(), name) == known.end()) fault(name, "is not known");
        }
    }

    void topics()
    {
        const auto* value = given("topics");
        if (value == nullptr) return;
        const auto* array = value->if_array();
        if (array == nullptr || array->empty() || array->size() > topics_max)
            return fault("topics",
                         "must be a list of 1 to " + std::to_string(topics_max) + " topic patterns");
        settings_.topics.clear();
        for (std::size_t i = 0; i < array->size(); ++i) {
            const auto& item = (*array)[i];
            std::string_view text = item.is_string() ? text_of(item) : std::string_view();
            std::string_view name = text.ends_with('*') ? text.substr(0, text.size() - 1) : text;
            if (name.starts_with('$')) name.remove_prefix(1);
            if (text == "*" || (text.size() <= topic_chars_max && is_word(name, "._-"))) {
                settings_.topics.emplace_back(text);
            } else {
                fault("topics[" + std::to_string(i) + "]",
                      "must be a topic of A-Z a-z 0-9 . _ -, or a prefix that ends in *");
            }
        }
    }

    void sink()
    {
        const auto* value = given("sink");
        if (value == nullptr) return;
        if (!value->is_string() || text_of(*value).empty() || text_of(*value).size() > sink_chars_max)
            return fault("sink",
                         "must be a text of at most " + std::to_string(sink_chars_max) + " characters");
        settings_.sink = text_of(*value);
    }

    void secrets()
    {
        const auto* value = given("secrets");
        if (value == nullptr) return;
        const auto* array = value->if_array();
        if (array == nullptr || array->size() > secrets_max)
            return fault("secrets", "must be a list of at most two: the new one and the one it replaces");
        for (std::size_t i = 0; i < array->size(); ++i) {
            const auto& item = (*array)[i];
            auto text = item.is_string() ? text_of(item) : std::string_view();
            if (text.starts_with(secret_prefix)) text.remove_prefix(secret_prefix.size());
            auto bytes = base64_decoded(text);
            if (bytes && bytes->size() >= secret_bytes_min && bytes->size() <= secret_bytes_max) {
                settings_.secrets.push_back(*std::move(bytes));
            } else {
                fault("secrets[" + std::to_string(i) + "]",
                      "must be whsec_ and the Base64 of 24 to 64 random bytes");
            }
        }
    }

    void headers()
    {
        const auto* value = given("headers");
        if (value == nullptr) return;
        const auto* object = value->if_object();
        if (object == nullptr || object->size() > headers_max)
            return fault("headers",
                         "must be an object of at most " + std::to_string(headers_max) + " headers");
        for (const auto& member : *object) {
            const std::string name(member.key().data(), member.key().size());
            const std::string place = "headers." + name;
            if (!is_word(name, "!#$%&'*+-.^_`|~") || is_reserved(name)) {
                fault(place, "is not a header that may be set");
            } else if (!member.value().is_string() || !is_header_value(text_of(member.value()))) {
                fault(place, "must be printable text of at most " + std::to_string(header_chars_max) +
                                 " characters");
            } else {
                settings_.headers.emplace_back(name, text_of(member.value()));
            }
        }
    }

    // A text is kept to the letter, because there are consumers that compare schemas by their text.
    void schema()
    {
        const auto* value = given("schema");
        if (value == nullptr) return;
        if (!value->is_object() && !value->is_string())
            return fault("schema", "must be the Avro schema of a record, as an object or as a text");
        settings_.schema = value->is_string() ? std::string(text_of(*value)) : json::serialize(*value);
        if (settings_.schema.size() > schema_bytes_max)
            fault("schema", "must have at most " + std::to_string(schema_bytes_max) + " bytes");
    }

    static bool is_header_value(std::string_view text)
    {
        return text.size() <= header_chars_max && std::all_of(text.begin(), text.end(), [](char c) {
                   return static_cast<unsigned char>(c) >= 0x20 && static_cast<unsigned char>(c) < 0x7F;
               });
    }

    std::optional<double> number(const char* name, double min, double max, const char* limits)
    {
        const auto* value = given(name);
        if (value == nullptr) return std::nullopt;
        const auto found = value->is_number() ? value->to_number<double>() : -1.0;
        if (found >= min && found <= max) return found;
        fault(name, std::string("must be a number from ") + limits);
        return std::nullopt;
    }

    std::optional<std::uint32_t> whole(const char* name, std::int64_t min, std::int64_t max)
    {
        const auto* value = given(name);
        if (value == nullptr) return std::nullopt;
        const auto* found = value->if_int64();
        if (found != nullptr && *found >= min && *found <= max) return static_cast<std::uint32_t>(*found);
        fault(name, "must be a whole number from " + std::to_string(min) + " to " + std::to_string(max));
        return std::nullopt;
    }

    template <class Enum>
    using Name = std::pair<std::string_view, std::type_identity_t<Enum>>;

    template <class Enum>
    void one_of(const char* name, const Name<Enum>& first, const Name<Enum>& second, Enum& target)
    {
        const auto* value = given(name);
        if (value == nullptr) return;
        const auto text = value->is_string() ? text_of(*value) : std::string_view();
        for (const auto& [known, meaning] : {first, second}) {
            if (text != known) continue;
            target = meaning;
            return;
        }
        fault(name, "must be " + std::string(first.first) + " or " + std::string(second.first));
    }

    void check_combinations()
    {
        const bool http = settings_.sink.starts_with("http://") || settings_.sink.starts_with("https://");
        if (settings_.body == DeliveryBody::batch && !http) fault("body", "batch is for http(s) sinks");
        if (settings_.encoding == PayloadEncoding::avro && !settings_.sink.starts_with("kafka:"))
            fault("encoding", "avro is for kafka sinks");
        if (!settings_.schema.empty() && settings_.encoding != PayloadEncoding::avro)
            fault("schema", "is for the encoding avro");
        if (!settings_.secrets.empty() && !http) fault("secrets", "only deliveries over http(s) are signed");
    }

    const json::object& json_;
    SubscriptionSettings settings_;
    std::vector<FieldError> faults_;
};

}  // namespace

namespace {

// scheme://user:password@host -> scheme://user:***@host. A raw `@` may be part of the password, never of the
// host.
std::string without_password(std::string_view url)
{
    const auto start = url.find("://");
    if (start == std::string_view::npos) return std::string(url);
    const auto authority = url.substr(start + 3, url.find_first_of("/?#", start + 3) - (start + 3));
    const auto at = authority.rfind('@');
    const auto colon = authority.find(':');
    if (at == std::string_view::npos || colon > at) return std::string(url);
    std::string shown(url.substr(0, start + 3 + colon + 1));
    return shown.append("***").append(url.substr(start + 3 + at));
}

}  // namespace

bool valid_subscription_name(std::string_view name)
{
    return name.size() <= name_chars_max && is_word(name, "._-") && name != "." && name != "..";
}

bool topic_matches(std::string_view topic, const std::vector<std::string>& patterns)
{
    return std::any_of(patterns.begin(), patterns.end(), [topic](const std::string& pattern) {
        if (pattern == topic) return true;
        // As in MQTT: topics that begin with $ are the system's own, and no pattern shows them by accident.
        return pattern.ends_with('*') && topic.starts_with('$') == pattern.starts_with('$') &&
               topic.starts_with(std::string_view(pattern).substr(0, pattern.size() - 1));
    });
}

std::vector<std::string> exact_topics(const std::vector<std::string>& patterns)
{
    const bool many = std::any_of(patterns.begin(), patterns.end(),
                                  [](const auto& pattern) { return pattern.ends_with('*'); });
    return many ? std::vector<std::string>() : patterns;
}

Result<SubscriptionSettings> parse_subscription(const boost::json::object& json)
{
    return Reader(json).read();
}

void merge_settings(boost::json::object& target, const boost::json::object& patch)
{
    for (const auto& member : patch) {
        if (member.value().is_null()) {
            target.erase(member.key());
        } else {
            target.insert_or_assign(member.key(), member.value());
        }
    }
}

boost::json::object shown_settings(const boost::json::object& json)
{
    auto shown = json;
    if (auto* sink = shown.if_contains("sink"); sink != nullptr && sink->is_string())
        *sink = without_password(text_of(*sink));
    if (auto* secrets = shown.if_contains("secrets"); secrets != nullptr && secrets->is_array()) {
        for (auto& secret : secrets->get_array()) secret = "***";
    }
    if (auto* headers = shown.if_contains("headers"); headers != nullptr && headers->is_object()) {
        for (auto& header : headers->get_object()) header.value() = "***";
    }
    return shown;
}

}  // namespace domain
