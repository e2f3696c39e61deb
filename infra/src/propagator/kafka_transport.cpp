#include "propagator/kafka_transport.hpp"

#include "infra/log/log.hpp"

#include <array>
#include <cstdint>
#include <stdexcept>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <utility>

namespace infra::propagator {
namespace {

using domain::propagation::TryResult;

constexpr unsigned acknowledged = 200;
constexpr std::chrono::milliseconds purge_wait{1'000};
// The event is a hint: librdkafka writes to it when its queue was empty before. Polling is what counts.
constexpr std::chrono::milliseconds poll_interval{100};
// librdkafka's buffer is no second queue of ours: in flight is bounded before it.
constexpr const char* linger_ms = "1";

void set(rd_kafka_conf_t* conf, const char* name, const std::string& value)
{
    std::array<char, 256> reason{};
    if (rd_kafka_conf_set(conf, name, value.c_str(), reason.data(), reason.size()) != RD_KAFKA_CONF_OK)
        throw std::runtime_error(std::string("Kafka: ") + reason.data());
}

void on_log(const rd_kafka_t* /*producer*/, int level, const char* /*facility*/, const char* text)
{
    constexpr int syslog_warning = 4;
    if (level <= syslog_warning) log_warning("kafka", {{"reason", text}});
}

}  // namespace

KafkaTransport::KafkaTransport(KafkaTransportOptions options, EventLoop& loop)
    : options_(std::move(options)), loop_(loop), event_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC))
{
    struct ConfDelete {
        void operator()(rd_kafka_conf_t* conf) const { rd_kafka_conf_destroy(conf); }
    };
    std::unique_ptr<rd_kafka_conf_t, ConfDelete> conf(rd_kafka_conf_new());
    set(conf.get(), "bootstrap.servers", options_.bootstrap_servers);
    set(conf.get(), "client.id", "polis-propagator");
    set(conf.get(), "enable.idempotence", "true");
    set(conf.get(), "linger.ms", linger_ms);
    set(conf.get(), "message.timeout.ms", std::to_string(options_.timeout.count()));
    rd_kafka_conf_set_dr_msg_cb(conf.get(), &KafkaTransport::on_delivery);
    rd_kafka_conf_set_log_cb(conf.get(), &on_log);
    rd_kafka_conf_set_opaque(conf.get(), this);
    std::array<char, 256> reason{};
    producer_.reset(rd_kafka_new(RD_KAFKA_PRODUCER, conf.get(), reason.data(), reason.size()));
    if (!producer_) throw std::runtime_error(std::string("Kafka: ") + reason.data());
    static_cast<void>(conf.release());  // the producer's from here on
    reports_.reset(rd_kafka_queue_get_main(producer_.get()));
    const std::uint64_t one = 1;
    rd_kafka_queue_io_event_enable(reports_.get(), event_.get(), &one, sizeof one);
    loop_.watch(event_.get(), EPOLLIN, this);
}

KafkaTransport::~KafkaTransport() { loop_.watch(event_.get(), 0, nullptr); }

void KafkaTransport::send(const app::Attempt& attempt, Done done)
{
    const std::uintptr_t number = ++last_number_;
    // Carried for us and never followed. NOLINTNEXTLINE(performance-no-int-to-ptr)
    void* const carried = reinterpret_cast<void*>(number);
    // clang-format off
    const auto code = rd_kafka_producev(
        producer_.get(),
        RD_KAFKA_V_TOPIC(options_.topics[attempt.stream].c_str()),
        RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
        RD_KAFKA_V_VALUE(const_cast<char*>(attempt.payload->data()), attempt.payload->size()),
        RD_KAFKA_V_HEADER("Idempotency-Key", attempt.idempotency_key.data(), attempt.idempotency_key.size()),
        RD_KAFKA_V_OPAQUE(carried),
        RD_KAFKA_V_END);
    // clang-format on
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        outstanding_.emplace(number, std::move(done));
    } else {
        refused_.emplace_back(std::move(done), TryResult{.error = rd_kafka_err2str(code)});
    }
}

void KafkaTransport::on_delivery(rd_kafka_t* /*producer*/, const rd_kafka_message_t* message, void* self)
{
    auto& outstanding = static_cast<KafkaTransport*>(self)->outstanding_;
    const auto at = outstanding.find(reinterpret_cast<std::uintptr_t>(message->_private));
    if (at == outstanding.end()) return;  // given up meanwhile
    const Done done = std::move(at->second);
    outstanding.erase(at);
    TryResult result;
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        result.status = acknowledged;
    } else {
        result.error = rd_kafka_err2str(message->err);
        result.abandoned = message->err == RD_KAFKA_RESP_ERR__PURGE_QUEUE ||
                           message->err == RD_KAFKA_RESP_ERR__PURGE_INFLIGHT;
    }
    done(result);
}

void KafkaTransport::ready(int fd, std::uint32_t /*events*/)
{
    std::uint64_t count = 0;
    static_cast<void>(::read(fd, &count, sizeof count));
    poll();
}

void KafkaTransport::poll()
{
    rd_kafka_poll(producer_.get(), 0);
    poll_at_ = std::chrono::steady_clock::now() + poll_interval;
}

Moment KafkaTransport::next_timer() const
{
    if (!refused_.empty()) return Moment::min();
    return outstanding_.empty() ? Moment::max() : poll_at_;
}

void KafkaTransport::run_timers()
{
    std::deque<std::pair<Done, TryResult>> refused;
    refused.swap(refused_);
    for (const auto& [done, result] : refused) done(result);
    if (!outstanding_.empty() && poll_at_ <= std::chrono::steady_clock::now()) poll();
}

void KafkaTransport::abandon()
{
    run_timers();
    poll();
    rd_kafka_purge(producer_.get(), RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    const Moment deadline = std::chrono::steady_clock::now() + purge_wait;
    while (!outstanding_.empty() && std::chrono::steady_clock::now() < deadline)
        rd_kafka_poll(producer_.get(), 10);
    const auto unreported = std::exchange(outstanding_, {});
    for (const auto& [number, done] : unreported) done({.abandoned = true, .error = "given up at the stop"});
}

}  // namespace infra::propagator
