// The Kafka sink alone, without a database: hands it messages and waits for the broker's word on each.
//   bench-kafka-sink BROKERS TOPIC MESSAGES PAYLOAD_BYTES IN_FLIGHT_MAX
// Prints messages per second, from the first hand-over to the last report.
#include "infra/sinks/kafka_sink.hpp"

#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <iostream>
#include <mutex>
#include <string>

int main(int argc, char** argv)
{
    if (argc != 6) return 2;
    const auto messages = std::strtoll(argv[3], nullptr, 10);
    const auto in_flight_max = std::strtoll(argv[5], nullptr, 10);
    infra::KafkaSinkOptions options;
    options.bootstrap_servers = argv[1];
    options.topic = argv[2];
    options.timeout = std::chrono::minutes(1);
    infra::KafkaSink sink(std::move(options));

    domain::OutboxMessage message;
    message.topic = "event.bench";
    message.payload.assign(std::strtoull(argv[4], nullptr, 10), 'x');
    message.ordering_key = "key";

    std::mutex mutex;
    std::condition_variable room;
    long long in_flight = 0;
    long long failed = 0;
    const auto started = std::chrono::steady_clock::now();
    for (long long i = 0; i < messages; ++i) {
        {
            std::unique_lock lock(mutex);
            room.wait(lock, [&] { return in_flight < in_flight_max; });
            ++in_flight;
        }
        sink.send(message, [&](const domain::DeliveryOutcome& outcome) {
            const std::lock_guard lock(mutex);
            failed += outcome.verdict == domain::Verdict::delivered ? 0 : 1;
            // Not for each: whoever hands over would be woken for every single message.
            if (--in_flight <= in_flight_max / 2) room.notify_one();
        });
    }
    std::unique_lock lock(mutex);
    room.wait(lock, [&] { return in_flight == 0; });
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - started;
    std::cout << static_cast<double>(messages) / taken.count() << '\n';
    return failed == 0 ? 0 : 1;
}
