// One Kafka broker of librdkafka's test kit, and a consumer of one topic: prints the bootstrap address, then
// each record as a line "KEY<tab>VALUE", where KEY is its Idempotency-Key header, or else "key ce_id
// ce_type". Ends when standard input does.
#include <array>
#include <cstdio>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <poll.h>
#include <string>

namespace {

rd_kafka_t* make(rd_kafka_type_t type, const std::string& brokers)
{
    std::array<char, 256> reason{};
    rd_kafka_conf_t* const conf = rd_kafka_conf_new();
    if (!brokers.empty()) {
        rd_kafka_conf_set(conf, "bootstrap.servers", brokers.c_str(), reason.data(), reason.size());
        rd_kafka_conf_set(conf, "group.id", "mock-broker", reason.data(), reason.size());
        rd_kafka_conf_set(conf, "auto.offset.reset", "earliest", reason.data(), reason.size());
    }
    return rd_kafka_new(type, conf, reason.data(), reason.size());
}

std::string header_of(const rd_kafka_message_t* message, const char* name)
{
    rd_kafka_headers_t* headers = nullptr;
    const void* value = nullptr;
    std::size_t bytes = 0;
    if (rd_kafka_message_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR ||
        rd_kafka_header_get_last(headers, name, &value, &bytes) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return {};
    return {static_cast<const char*>(value), bytes};
}

void print(const rd_kafka_message_t* message)
{
    auto key = header_of(message, "Idempotency-Key");
    if (key.empty() && message->key != nullptr) {
        key.assign(static_cast<const char*>(message->key), message->key_len);
        key += " " + header_of(message, "ce_id") + " " + header_of(message, "ce_type");
    }
    std::printf("%s\t%.*s\n", key.c_str(), static_cast<int>(message->len),
                static_cast<const char*>(message->payload));
    std::fflush(stdout);
}

bool input_ended()
{
    pollfd input{};
    input.events = POLLIN;
    return ::poll(&input, 1, 0) > 0;
}

}  // namespace

int main(int argc, char** argv)
{
    if (argc != 2) return 2;
    rd_kafka_t* const owner = make(RD_KAFKA_PRODUCER, "");
    rd_kafka_mock_cluster_t* const cluster = rd_kafka_mock_cluster_new(owner, 1);
    rd_kafka_mock_topic_create(cluster, argv[1], 1, 1);
    const std::string brokers = rd_kafka_mock_cluster_bootstraps(cluster);
    std::printf("%s\n", brokers.c_str());
    std::fflush(stdout);
    rd_kafka_t* const consumer = make(RD_KAFKA_CONSUMER, brokers);
    rd_kafka_poll_set_consumer(consumer);
    rd_kafka_topic_partition_list_t* const topics = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(topics, argv[1], 0)->offset = RD_KAFKA_OFFSET_BEGINNING;
    rd_kafka_assign(consumer, topics);
    rd_kafka_topic_partition_list_destroy(topics);
    constexpr int wait_ms = 100;
    while (!input_ended()) {
        rd_kafka_message_t* const message = rd_kafka_consumer_poll(consumer, wait_ms);
        if (message == nullptr) continue;
        if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) print(message);
        rd_kafka_message_destroy(message);
    }
    rd_kafka_consumer_close(consumer);
    rd_kafka_destroy(consumer);
    rd_kafka_mock_cluster_destroy(cluster);
    rd_kafka_destroy(owner);
    return 0;
}
