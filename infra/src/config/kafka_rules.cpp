#include "config/rules.hpp"
#include "domain/service_registry.hpp"
#include "domain/stream.hpp"
#include "infra/kafka/kafka_source.hpp"

namespace infra::config {
namespace {

std::string_view without_blanks(std::string_view text)
{
    while (text.starts_with(' ')) text.remove_prefix(1);
    while (text.ends_with(' ')) text.remove_suffix(1);
    return text;
}

}  // namespace

std::string store_kafka_topic(Config& config, std::string_view value, std::string_view key)
{
    std::string topic(key);
    if (!check_topic(topic).empty())
        return "must belong to a Kafka topic name (1 to 249 of A-Z a-z 0-9 . _ -)";
    if (!domain::parse_topic_route(value)) return "must be a service name, record: or header:NAME";
    config.kafka.topics.insert_or_assign(std::move(topic), std::string(value));
    return {};
}

std::string store_pairs(Config& config, std::string_view value, const char* wanted, const Store& store)
{
    for (std::string_view rest = value; !rest.empty();) {
        const auto comma = rest.find(',');
        const auto entry = without_blanks(rest.substr(0, comma));
        const auto equals = entry.find('=');
        if (equals == std::string_view::npos) return wanted;
        auto problem = store(config, entry.substr(equals + 1), entry.substr(0, equals));
        if (!problem.empty()) return problem;
        rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
    }
    return {};
}

std::string store_kafka_topics(Config& config, std::string_view value, std::string_view)
{
    return store_pairs(config, value, "must be TOPIC=ROUTE[,TOPIC=ROUTE...]", store_kafka_topic);
}

std::string store_kafka_service(Config& config, std::string_view value, std::string_view key)
{
    if (!domain::valid_service_name(value)) return "must be a service name (1 to 100 of A-Z a-z 0-9 . _ -)";
    config.kafka.services.insert_or_assign(std::string(key), std::string(value));
    return {};
}

std::string store_kafka_property(Config& config, std::string_view key, std::string_view value)
{
    auto problem = kafka::property_fault(std::string(key), std::string(value));
    if (problem.empty()) config.kafka.properties.insert_or_assign(std::string(key), std::string(value));
    return problem;
}

}  // namespace infra::config
