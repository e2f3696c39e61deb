#include "infra/kafka/kafka_source.hpp"

#include "failpoint.hpp"
#include "infra/log/log.hpp"
#include "kafka/bounded_calls.hpp"
#include "kafka/partition_list.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <stdexcept>
#include <thread>

namespace infra::kafka {
namespace {

constexpr auto request_timeout = std::chrono::milliseconds(5000);
constexpr auto probe_timeout = std::chrono::milliseconds(2000);
constexpr auto probe_interval = std::chrono::seconds(2);

struct ConfRelease {
    void operator()(rd_kafka_conf_t* conf) const { rd_kafka_conf_destroy(conf); }
};
using Conf = std::unique_ptr<rd_kafka_conf_t, ConfRelease>;

struct MessageRelease {
    void operator()(rd_kafka_message_t* message) const { rd_kafka_message_destroy(message); }
};
using Message = std::unique_ptr<rd_kafka_message_t, MessageRelease>;

// Exactly-once, or the shape of the program, depends on these.
constexpr std::array<std::string_view, 8> own_properties = {
    "bootstrap.servers",  "metadata.broker.list",     "group.id",          "client.id",
    "enable.auto.commit", "enable.auto.offset.store", "auto.offset.reset", "partition.assignment.strategy",
};

std::string set(rd_kafka_conf_t* conf, const std::string& name, const std::string& value)
{
    std::array<char, 512> text{};
    if (rd_kafka_conf_set(conf, name.c_str(), value.c_str(), text.data(), text.size()) == RD_KAFKA_CONF_OK)
        return {};
    return "librdkafka does not accept the property " + name;
}

void require(rd_kafka_conf_t* conf, const std::string& name, const std::string& value)
{
    if (auto fault = set(conf, name, value); !fault.empty()) throw std::runtime_error(fault);
}

std::string text_of(const void* data, std::size_t size) { return {static_cast<const char*>(data), size}; }

domain::StreamMessage to_message(const rd_kafka_message_t& raw)
{
    domain::StreamMessage message{{rd_kafka_topic_name(raw.rkt), raw.partition}, raw.offset};
    if (raw.key != nullptr) message.key = text_of(raw.key, raw.key_len);
    if (raw.payload != nullptr) message.value = text_of(raw.payload, raw.len);
    rd_kafka_headers_t* headers = nullptr;
    if (rd_kafka_message_headers(&raw, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR) return message;
    const char* name = nullptr;
    const void* value = nullptr;
    std::size_t size = 0;
    for (std::size_t i = 0;
         rd_kafka_header_get_all(headers, i, &name, &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR; ++i) {
        message.headers.emplace_back(name, value == nullptr ? std::string() : text_of(value, size));
    }
    return message;
}

void on_log(const rd_kafka_t*, int level, const char* facility, const char* text)
{
    // syslog's levels: below 4 are errors.
    if (level < 4) {
        log_error("librdkafka", {{"facility", facility}, {"reason", text}});
    } else {
        log_warning("librdkafka", {{"facility", facility}, {"reason", text}});
    }
}

}  // namespace

std::string property_fault(const std::string& name, const std::string& value)
{
    if (std::find(own_properties.begin(), own_properties.end(), name) != own_properties.end()) {
        return "is set by Polis itself";
    }
    const Conf scratch(rd_kafka_conf_new());
    return set(scratch.get(), name, value).empty()
               ? ""
               : "must be a property of librdkafka with a value it accepts";
}

class KafkaSource::Impl {
public:
    Impl(KafkaSourceOptions options, LagSeen lag_seen)
        : options_(std::move(options)), lag_seen_(std::move(lag_seen))
    {
        handle_ = make_handle();
        prober_ = make_handle();
        rd_kafka_poll_set_consumer(handle_);
        probe_ = std::thread([this] { probe(); });
    }

    ~Impl()
    {
        {
            const std::lock_guard lock(mutex_);
            stopping_ = true;
        }
        wake_.notify_all();
        probe_.join();
        rd_kafka_destroy_flags(prober_, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
        rd_kafka_destroy_flags(handle_, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    }

    Impl(const Impl&) = delete;
    Impl& operator=(const Impl&) = delete;

    void subscribe(Listener& listener)
    {
        listener_ = &listener;
        auto list = new_list(options_.topics.size());
        for (const auto& topic : options_.topics) {
            rd_kafka_topic_partition_list_add(list.get(), topic.c_str(), RD_KAFKA_PARTITION_UA);
        }
        const auto fault = rd_kafka_subscribe(handle_, list.get());
        if (fault != RD_KAFKA_RESP_ERR_NO_ERROR) throw std::runtime_error(rd_kafka_err2str(fault));
    }

    std::optional<domain::StreamMessage> poll(std::chrono::milliseconds wait)
    {
        const Message raw(rd_kafka_consumer_poll(handle_, static_cast<int>(wait.count())));
        if (!raw) return std::nullopt;
        failpoint("consumer.polled");
        if (raw->err == RD_KAFKA_RESP_ERR_NO_ERROR) return to_message(*raw);
        log_warning("Kafka reports", {{"reason", rd_kafka_err2str(raw->err)}});
        return std::nullopt;
    }

    void pause(const domain::PartitionId& id)
    {
        const auto list = to_list(std::vector{id});
        rd_kafka_pause_partitions(handle_, list.get());
    }

    void resume(const domain::PartitionId& id)
    {
        const auto list = to_list(std::vector{id});
        rd_kafka_resume_partitions(handle_, list.get());
    }

    bool seek(const app::Positions& positions)
    {
        const auto list = to_list(positions);
        if (auto* fault = rd_kafka_seek_partitions(handle_, list.get(), request_timeout.count())) {
            log_warning("seek failed", {{"reason", rd_kafka_error_string(fault)}});
            rd_kafka_error_destroy(fault);
            return false;
        }
        const bool good = std::all_of(list->elems, list->elems + list->cnt, [](const auto& each) {
            return each.err == RD_KAFKA_RESP_ERR_NO_ERROR;
        });
        if (good) remember(positions);
        return good;
    }

    void commit(const app::Positions& positions, bool wait)
    {
        remember(positions);
        const auto list = to_list(positions);
        failpoint("consumer.telling");
        const auto fault =
            wait ? commit_offsets(handle_, *list, request_timeout) : rd_kafka_commit(handle_, list.get(), 1);
        if (fault != RD_KAFKA_RESP_ERR_NO_ERROR) {
            log_warning("positions not told to the broker", {{"reason", rd_kafka_err2str(fault)}});
        }
    }

    app::Positions first_positions(const std::vector<domain::PartitionId>& partitions)
    {
        const auto list = to_list(partitions);
        const auto fault = rd_kafka_committed(handle_, list.get(), request_timeout.count());
        if (fault != RD_KAFKA_RESP_ERR_NO_ERROR) throw std::runtime_error(rd_kafka_err2str(fault));
        const auto ranges = query_ranges(handle_, partitions, request_timeout);
        if (ranges.fault != RD_KAFKA_RESP_ERR_NO_ERROR)
            throw std::runtime_error(rd_kafka_err2str(ranges.fault));
        app::Positions first;
        for (int i = 0; i < list->cnt; ++i) {
            const auto& each = list->elems[i];
            const domain::PartitionId id{each.topic, each.partition};
            const auto [low, high] = ranges.of.at(id);
            const bool usable = each.offset >= low && each.offset <= high;
            first.emplace(id, usable ? each.offset : options_.from_beginning ? low : high);
        }
        return first;
    }

    void close()
    {
        const auto fault = close_consumer(handle_, request_timeout);
        if (fault != RD_KAFKA_RESP_ERR_NO_ERROR) {
            log_warning("group not left cleanly", {{"reason", rd_kafka_err2str(fault)}});
        }
    }

    bool reachable() const { return reachable_; }

private:
    rd_kafka_t* make_handle()
    {
        Conf conf = configure();
        std::array<char, 512> fault{};
        auto* handle = rd_kafka_new(RD_KAFKA_CONSUMER, conf.get(), fault.data(), fault.size());
        if (handle == nullptr) throw std::runtime_error(std::string("Kafka: ") + fault.data());
        static_cast<void>(conf.release());  // rd_kafka_new took it
        return handle;
    }

    Conf configure()
    {
        Conf conf(rd_kafka_conf_new());
        require(conf.get(), "topic.metadata.refresh.interval.ms", "10000");
        // Our own queue is the buffer; librdkafka's stays small, so that memory is bounded by what is
        // configured.
        require(conf.get(), "queued.max.messages.kbytes", "16384");
        for (const auto& [name, value] : options_.properties) require(conf.get(), name, value);
        require(conf.get(), "bootstrap.servers", options_.bootstrap_servers);
        require(conf.get(), "group.id", options_.group);
        require(conf.get(), "client.id", options_.client_id);
        require(conf.get(), "enable.auto.commit", "false");
        require(conf.get(), "enable.auto.offset.store", "false");
        require(conf.get(), "auto.offset.reset", options_.from_beginning ? "earliest" : "latest");
        require(conf.get(), "partition.assignment.strategy", "range,roundrobin");
        rd_kafka_conf_set_opaque(conf.get(), this);
        rd_kafka_conf_set_log_cb(conf.get(), on_log);
        rd_kafka_conf_set_error_cb(conf.get(), [](rd_kafka_t*, int error, const char*, void* self) {
            if (error == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) static_cast<Impl*>(self)->reachable_ = false;
        });
        rd_kafka_conf_set_rebalance_cb(
            conf.get(), [](rd_kafka_t*, rd_kafka_resp_err_t event, rd_kafka_topic_partition_list_t* list,
                           void* self) { static_cast<Impl*>(self)->rebalance(event, *list); });
        return conf;
    }

    // Runs within poll() and close(), on their thread.
    void rebalance(rd_kafka_resp_err_t event, const rd_kafka_topic_partition_list_t& list)
    {
        if (event == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
            const auto start = listener_->assigned(from_list(list));
            log_info("partitions assigned", {{"partitions", start.size()}});
            {
                const std::lock_guard lock(mutex_);
                stored_ = start;
            }
            const auto assignment = to_list(start);
            rd_kafka_assign(handle_, start.empty() ? nullptr : assignment.get());
            // librdkafka lets a partition that was paused stay so when it comes back after a rebalance.
            rd_kafka_resume_partitions(handle_, assignment.get());
            wake_.notify_all();
            return;
        }
        const bool lost = rd_kafka_assignment_lost(handle_) != 0;
        listener_->revoked(lost);
        log_info("partitions revoked", {{"partitions", list.cnt}, {"lost", lost}});
        {
            const std::lock_guard lock(mutex_);
            stored_.clear();
        }
        rd_kafka_assign(handle_, nullptr);
    }

    void remember(const app::Positions& positions)
    {
        const std::lock_guard lock(mutex_);
        for (const auto& [id, offset] : positions) {
            if (const auto at = stored_.find(id); at != stored_.end()) at->second = offset;
        }
    }

    void probe()
    {
        std::unique_lock lock(mutex_);
        while (!stopping_) {
            const auto stored = stored_;
            lock.unlock();
            if (const auto lag = ask_lag(stored)) lag_seen_(*lag);
            lock.lock();
            wake_.wait_for(lock, probe_interval, [this] { return stopping_; });
        }
    }

    std::optional<std::map<domain::PartitionId, std::int64_t>> ask_lag(const app::Positions& stored)
    {
        std::map<domain::PartitionId, std::int64_t> lag;
        if (stored.empty()) {
            const rd_kafka_metadata_t* metadata = nullptr;
            reachable_ = rd_kafka_metadata(prober_, 0, nullptr, &metadata, probe_timeout.count()) ==
                         RD_KAFKA_RESP_ERR_NO_ERROR;
            if (metadata != nullptr) rd_kafka_metadata_destroy(metadata);
            return lag;
        }
        std::vector<domain::PartitionId> partitions;
        for (const auto& [id, offset] : stored) partitions.push_back(id);
        const auto ranges = query_ranges(prober_, partitions, probe_timeout);
        reachable_ = ranges.fault == RD_KAFKA_RESP_ERR_NO_ERROR;
        if (!reachable_) return std::nullopt;
        for (const auto& [id, range] : ranges.of) {
            const auto offset = stored.at(id);
            tell_of_gaps(id, offset, range.low, range.high);
            lag.emplace(id, std::max<std::int64_t>(range.high - offset, 0));
        }
        return lag;
    }

    static void tell_of_gaps(const domain::PartitionId& id, std::int64_t stored, std::int64_t low,
                             std::int64_t high)
    {
        if (low > stored) {
            log_error("messages were deleted before they were read",
                      {{"topic", id.topic}, {"partition", id.number}, {"messages", low - stored}});
        }
        if (high < stored) {
            log_error("the log ends before the stored position: was the topic made anew?",
                      {{"topic", id.topic}, {"partition", id.number}, {"stored", stored}, {"end", high}});
        }
    }

    const KafkaSourceOptions options_;
    const LagSeen lag_seen_;
    Listener* listener_ = nullptr;
    rd_kafka_t* handle_ = nullptr;
    // Never subscribes: on the reader's own connection every question would wait for the fetch before it.
    rd_kafka_t* prober_ = nullptr;
    std::atomic<bool> reachable_{false};
    std::mutex mutex_;
    std::condition_variable wake_;
    app::Positions stored_;
    bool stopping_ = false;
    std::thread probe_;
};

KafkaSource::KafkaSource(KafkaSourceOptions options, LagSeen lag_seen)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(lag_seen)))
{
}

KafkaSource::~KafkaSource() = default;
void KafkaSource::subscribe(Listener& listener) { impl_->subscribe(listener); }
std::optional<domain::StreamMessage> KafkaSource::poll(std::chrono::milliseconds wait)
{
    return impl_->poll(wait);
}
void KafkaSource::pause(const domain::PartitionId& partition) { impl_->pause(partition); }
void KafkaSource::resume(const domain::PartitionId& partition) { impl_->resume(partition); }
bool KafkaSource::seek(const app::Positions& positions) { return impl_->seek(positions); }
void KafkaSource::commit(const app::Positions& positions, bool wait) { impl_->commit(positions, wait); }
app::Positions KafkaSource::first_positions(const std::vector<domain::PartitionId>& partitions)
{
    return impl_->first_positions(partitions);
}
void KafkaSource::close() { impl_->close(); }
bool KafkaSource::reachable() const { return impl_->reachable(); }

}  // namespace infra::kafka
