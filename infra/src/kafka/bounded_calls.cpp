#include "kafka/bounded_calls.hpp"

#include "kafka/partition_list.hpp"

#include <memory>

namespace infra::kafka {
namespace {

using Clock = std::chrono::steady_clock;

struct QueueRelease {
    void operator()(rd_kafka_queue_t* queue) const { rd_kafka_queue_destroy(queue); }
};
using Queue = std::unique_ptr<rd_kafka_queue_t, QueueRelease>;

struct EventRelease {
    void operator()(rd_kafka_event_t* event) const { rd_kafka_event_destroy(event); }
};
using Event = std::unique_ptr<rd_kafka_event_t, EventRelease>;

int milliseconds(std::chrono::milliseconds duration) { return static_cast<int>(duration.count()); }

// Asking for the time "earliest" or "latest" is asking for an end of the log. The call that is made for it,
// rd_kafka_query_watermark_offsets, waits for a broker that is down until it is back, whatever its time-out
// (librdkafka before 2.3, confluentinc/librdkafka#2588).
rd_kafka_resp_err_t query_ends(rd_kafka_t* handle, rd_kafka_topic_partition_list_t& list, std::int64_t end,
                               std::chrono::milliseconds timeout)
{
    for (int i = 0; i < list.cnt; ++i) list.elems[i].offset = end;
    auto fault = rd_kafka_offsets_for_times(handle, &list, milliseconds(timeout));
    for (int i = 0; i < list.cnt && fault == RD_KAFKA_RESP_ERR_NO_ERROR; ++i) fault = list.elems[i].err;
    return fault;
}

}  // namespace

LogRanges query_ranges(rd_kafka_t* handle, const std::vector<domain::PartitionId>& partitions,
                       std::chrono::milliseconds timeout)
{
    LogRanges ranges;
    const auto lows = to_list(partitions);
    const auto highs = to_list(partitions);
    ranges.fault = query_ends(handle, *lows, RD_KAFKA_OFFSET_BEGINNING, timeout);
    if (ranges.fault == RD_KAFKA_RESP_ERR_NO_ERROR)
        ranges.fault = query_ends(handle, *highs, RD_KAFKA_OFFSET_END, timeout);
    if (ranges.fault != RD_KAFKA_RESP_ERR_NO_ERROR) return ranges;
    for (const auto* list : {lows.get(), highs.get()}) {
        for (int i = 0; i < list->cnt; ++i) {
            auto& range = ranges.of[{list->elems[i].topic, list->elems[i].partition}];
            (list == lows.get() ? range.low : range.high) = list->elems[i].offset;
        }
    }
    return ranges;
}

rd_kafka_resp_err_t commit_offsets(rd_kafka_t* consumer, const rd_kafka_topic_partition_list_t& list,
                                   std::chrono::milliseconds timeout)
{
    const Queue answers(rd_kafka_queue_new(consumer));
    const auto fault = rd_kafka_commit_queue(consumer, &list, answers.get(), nullptr, nullptr);
    if (fault != RD_KAFKA_RESP_ERR_NO_ERROR) return fault;
    const Event answer(rd_kafka_queue_poll(answers.get(), milliseconds(timeout)));
    return answer ? rd_kafka_event_error(answer.get()) : RD_KAFKA_RESP_ERR__TIMED_OUT;
}

rd_kafka_resp_err_t close_consumer(rd_kafka_t* consumer, std::chrono::milliseconds timeout)
{
    const auto deadline = Clock::now() + timeout;
    const Queue events(rd_kafka_queue_new(consumer));
    if (auto* fault = rd_kafka_consumer_close_queue(consumer, events.get())) {
        const auto code = rd_kafka_error_code(fault);
        rd_kafka_error_destroy(fault);
        return code;
    }
    constexpr int slice_ms = 100;
    while (rd_kafka_consumer_closed(consumer) == 0) {
        if (Clock::now() >= deadline) return RD_KAFKA_RESP_ERR__TIMED_OUT;
        rd_kafka_queue_poll_callback(events.get(), slice_ms);
    }
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

}  // namespace infra::kafka
