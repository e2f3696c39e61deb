#include "infra/sinks/kafka_sink.hpp"

#include "domain/ids.hpp"
#include "infra/log/log.hpp"

#include <array>
#include <csignal>
#include <librdkafka/rdkafka.h>
#include <mutex>
#include <pthread.h>
#include <stdexcept>
#include <thread>
#include <utility>

namespace infra {
namespace {

using Done = app::MessageSink::Done;
using domain::DeliveryOutcome;
using domain::Verdict;

// Reports arrive at once; this is only how soon a stop is noticed.
constexpr int poll_ms = 100;
constexpr int purge_wait_ms = 2'000;
// A little patience fills batches; latency is bounded by it.
constexpr const char* linger_ms = "2";

struct HandleDelete {
    void operator()(rd_kafka_t* handle) const { rd_kafka_destroy(handle); }
};
struct ConfDelete {
    void operator()(rd_kafka_conf_t* conf) const { rd_kafka_conf_destroy(conf); }
};
struct HeadersDelete {
    void operator()(rd_kafka_headers_t* headers) const { rd_kafka_headers_destroy(headers); }
};
using Handle = std::unique_ptr<rd_kafka_t, HandleDelete>;
using Headers = std::unique_ptr<rd_kafka_headers_t, HeadersDelete>;

void set(rd_kafka_conf_t* conf, const char* name, const std::string& value)
{
    std::array<char, 256> reason{};
    if (rd_kafka_conf_set(conf, name, value.c_str(), reason.data(), reason.size()) != RD_KAFKA_CONF_OK)
        throw std::runtime_error(std::string("Kafka: ") + reason.data());
}

void on_log(const rd_kafka_t* /*handle*/, int level, const char* /*facility*/, const char* text)
{
    constexpr int syslog_warning = 4;
    if (level <= syslog_warning) log_warning("kafka", {{"reason", text}});
}

DeliveryOutcome outcome_of(rd_kafka_resp_err_t code)
{
    switch (static_cast<int>(code)) {
        case RD_KAFKA_RESP_ERR_NO_ERROR:
            return {};
        case RD_KAFKA_RESP_ERR__PURGE_QUEUE:
        case RD_KAFKA_RESP_ERR__PURGE_INFLIGHT:
            return {.verdict = Verdict::abandoned, .error = "the sink was stopped"};
        case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
        case RD_KAFKA_RESP_ERR_INVALID_RECORD:
            return {.verdict = Verdict::rejected,
                    .error = rd_kafka_err2str(code),
                    .blame = domain::Blame::poison};
        case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
        case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
            return {.verdict = Verdict::rejected, .error = rd_kafka_err2str(code)};
        default:
            return {.verdict = Verdict::retry, .error = rd_kafka_err2str(code)};
    }
}

Headers headers_of(const domain::OutboxMessage& message, const std::string& subscription)
{
    Headers headers(rd_kafka_headers_new(8));
    const auto add = [&headers](const char* name, const std::string& value) {
        rd_kafka_header_add(headers.get(), name, -1, value.data(), static_cast<ssize_t>(value.size()));
    };
    add("content-type", "application/json");
    add("ce_specversion", "1.0");
    add("ce_id", domain::to_string(message.event_id));
    add("ce_type", message.topic);
    add("ce_source", "/polis/events/" + domain::to_string(domain::family_base(message.event_id)));
    add("ce_time", domain::format_time(domain::id_time(message.event_id)));
    if (!subscription.empty()) add("ce_subscription", subscription);
    return headers;
}

}  // namespace

class KafkaSink::Producer {
public:
    explicit Producer(KafkaSinkOptions options)
        : options_(std::move(options)), handle_(open()), thread_([this] { run(); })
    {
    }

    void send(const domain::OutboxMessage& message, Done done)
    {
        auto headers = headers_of(message, options_.subscription);
        const std::string key = message.key.empty() ? std::to_string(message.key_hash) : message.key;
        const std::string& topic = options_.topic.empty() ? message.topic : options_.topic;
        auto carried = std::make_unique<Done>(std::move(done));
        std::unique_lock lock(mutex_);
        if (stopped_) {
            lock.unlock();
            return (*carried)(outcome_of(RD_KAFKA_RESP_ERR__PURGE_QUEUE));
        }
        // clang-format off
        const auto code = rd_kafka_producev(
            handle_.get(),
            RD_KAFKA_V_TOPIC(topic.c_str()),
            RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
            RD_KAFKA_V_KEY(key.data(), key.size()),
            RD_KAFKA_V_VALUE(const_cast<char*>(message.payload.data()), message.payload.size()),
            RD_KAFKA_V_HEADERS(headers.get()),
            RD_KAFKA_V_OPAQUE(carried.get()),
            RD_KAFKA_V_END);
        // clang-format on
        lock.unlock();
        if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
            static_cast<void>(headers.release());  // both are librdkafka's until the report
            static_cast<void>(carried.release());
        } else {
            (*carried)(outcome_of(code));
        }
    }  // NOLINT(clang-analyzer-cplusplus.NewDeleteLeaks): on_report() deletes what was released

    void stop()
    {
        std::call_once(stop_once_, [this] {
            {
                const std::lock_guard lock(mutex_);
                stopped_ = true;
            }
            thread_.join();
            purge();
        });
    }

private:
    Handle open()
    {
        std::unique_ptr<rd_kafka_conf_t, ConfDelete> conf(rd_kafka_conf_new());
        set(conf.get(), "bootstrap.servers", options_.bootstrap_servers);
        set(conf.get(), "client.id", "polis-outbox-worker");
        set(conf.get(), "enable.idempotence", "true");
        set(conf.get(), "linger.ms", linger_ms);
        set(conf.get(), "message.timeout.ms", std::to_string(options_.timeout.count()));
        rd_kafka_conf_set_dr_msg_cb(conf.get(), &Producer::on_report);
        rd_kafka_conf_set_log_cb(conf.get(), &on_log);
        rd_kafka_conf_set_opaque(conf.get(), this);
        std::array<char, 256> reason{};
        Handle handle(rd_kafka_new(RD_KAFKA_PRODUCER, conf.get(), reason.data(), reason.size()));
        if (!handle) throw std::runtime_error(std::string("Kafka: ") + reason.data());
        static_cast<void>(conf.release());  // the producer's from here on
        return handle;
    }

    static void on_report(rd_kafka_t* /*handle*/, const rd_kafka_message_t* message, void* self)
    {
        const std::unique_ptr<Done> done(static_cast<Done*>(message->_private));
        auto outcome = outcome_of(message->err);
        // Purged, and not because of a stop: the producer is being made anew.
        if (outcome.verdict == Verdict::abandoned && !static_cast<Producer*>(self)->stopped_)
            outcome.verdict = Verdict::retry;
        (*done)(std::move(outcome));
    }

    void run()
    {
        sigset_t all;
        sigfillset(&all);
        pthread_sigmask(SIG_BLOCK, &all, nullptr);
        while (true) {
            rd_kafka_poll(handle_.get(), poll_ms);
            const std::lock_guard lock(mutex_);
            if (stopped_) return;
            replace_when_broken();
        }
    }

    // An idempotent producer that lost its place refuses everything from then on. What it had is reported as
    // failed and comes again, in order per key, by way of the shelf.
    void replace_when_broken()
    {
        std::array<char, 256> reason{};
        if (rd_kafka_fatal_error(handle_.get(), reason.data(), reason.size()) == RD_KAFKA_RESP_ERR_NO_ERROR)
            return;
        log_warning("kafka producer is made anew", {{"reason", std::string_view(reason.data())}});
        purge();
        handle_ = open();
    }

    void purge()
    {
        rd_kafka_purge(handle_.get(), RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
        rd_kafka_flush(handle_.get(), purge_wait_ms);
    }

    const KafkaSinkOptions options_;
    std::mutex mutex_;  // of the handle's exchange and stopped_
    bool stopped_ = false;
    Handle handle_;
    std::once_flag stop_once_;
    std::thread thread_;  // last: it uses all of the above
};

KafkaSink::KafkaSink(KafkaSinkOptions options) : producer_(std::make_unique<Producer>(std::move(options))) {}

KafkaSink::~KafkaSink() { stop(); }

void KafkaSink::send(const domain::OutboxMessage& message, Done done)
{
    producer_->send(message, std::move(done));
}

void KafkaSink::stop() { producer_->stop(); }

}  // namespace infra
