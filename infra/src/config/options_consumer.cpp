#include "config/option.hpp"
#include "config/rules.hpp"

// The options of polis-consumer.
namespace infra::config {
namespace {

// A property of librdkafka under the name that people know it by.
Option kafka_property(std::string_view name, std::string_view yaml_path, std::string_view property,
                      Shown shown, std::string_view help)
{
    return {.name = name,
            .yaml_path = yaml_path,
            .default_note = "librdkafka's",
            .used_by = consumer,
            .rule = {"text",
                     [property = std::string(property)](Config& c, std::string_view value, std::string_view) {
                         return store_kafka_property(c, property, value);
                     },
                     shown},
            .help = help};
}

}  // namespace

std::vector<Option> consumer_options()
{
    return {
        {.name = "KAFKA_GROUP_ID",
         .yaml_path = "kafka.group_id",
         .yaml_aliases = {"broker.group_id"},
         .default_text = "polis",
         .used_by = consumer,
         .rule = text(
             "name of a consumer group", Shown::plain, check_topic,
             [](Config & c) -> auto& { return c.kafka.group_id; }),
         .help = "Consumers of one group share the partitions; positions are kept for each group."},
        {.name = "KAFKA_CLIENT_ID",
         .yaml_path = "kafka.client_id",
         .yaml_aliases = {"broker.client_id"},
         .default_text = "polis-consumer",
         .used_by = consumer,
         .rule = text(
             "name", Shown::plain, check_topic, [](Config & c) -> auto& { return c.kafka.client_id; }),
         .help = "How the broker's logs name this client."},
        {.name = "KAFKA_AUTO_OFFSET_RESET",
         .yaml_path = "kafka.auto_offset_reset",
         .yaml_aliases = {"broker.auto_offset_reset"},
         .default_text = "earliest",
         .used_by = consumer,
         .rule = one_of<OffsetReset>(
             {{"earliest", OffsetReset::earliest}, {"latest", OffsetReset::latest}}, {},
             [](Config & c) -> auto& { return c.kafka.offset_reset; }),
         .help = "Where a group begins that was never here: at the oldest message, or with new ones only."},
        {.yaml_path = "kafka.enable_auto_commit",
         .yaml_aliases = {"broker.enable_auto_commit"},
         .default_text = "false",
         .used_by = consumer,
         .rule = {"false",
                  [](Config&, std::string_view value, std::string_view) -> std::string {
                      return parse_boolean(value) == false ? "" : "must be false";
                  }},
         .help = "Only for files of older systems: positions are stored with the events."},
        {.name = "KAFKA_TOPICS",
         .yaml_path = "kafka.topic_list",
         .default_note = "none",
         .used_by = api | consumer,
         .rule = {"TOPIC=ROUTE[,TOPIC=ROUTE...]", store_kafka_topics},
         .help = "Topics to read, each with its route as in `kafka.topics.*`."},
        {.yaml_path = "kafka.topics.*",
         .default_note = "none",
         .used_by = api | consumer,
         .rule = {"service, `record:` or `header:NAME`", store_kafka_topic},
         .help =
             "A topic to read: its messages are of this service, or of the one that the Avro record's full "
             "name or a header names."},
        {.yaml_path = "kafka.services.*",
         .default_note = "the name itself",
         .used_by = api | consumer,
         .rule = {"service name", store_kafka_service},
         .help = "Service of an Avro record's full name, or of a header's value."},
        kafka_property("KAFKA_SECURITY_PROTOCOL", "kafka.security_protocol", "security.protocol",
                       Shown::plain, "plaintext, ssl, sasl_plaintext or sasl_ssl."),
        kafka_property("KAFKA_SASL_MECHANISM", "kafka.sasl_mechanism", "sasl.mechanism", Shown::plain,
                       "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER or GSSAPI."),
        kafka_property("KAFKA_SASL_USERNAME", "kafka.sasl_username", "sasl.username", Shown::secret,
                       "User of the broker."),
        kafka_property("KAFKA_SASL_PASSWORD", "kafka.sasl_password", "sasl.password", Shown::secret,
                       "Password of the broker."),
        kafka_property(
            "KAFKA_SSL_CA_LOCATION", "kafka.ssl_ca_location", "ssl.ca.location", Shown::plain,
            "File of the certificate authorities that the broker's certificate is checked against."),
        {.yaml_path = "kafka.properties.*",
         .default_note = "librdkafka's",
         .used_by = consumer,
         .rule = {"text",
                  [](Config& c, std::string_view value, std::string_view key) {
                      return store_kafka_property(c, key, value);
                  },
                  Shown::secret},
         .help = "Any other property of librdkafka, such as ssl.key.location."},
    };
}

}  // namespace infra::config
