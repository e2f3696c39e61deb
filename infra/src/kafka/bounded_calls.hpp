#pragma once

#include "domain/stream.hpp"

#include <chrono>
#include <cstdint>
#include <librdkafka/rdkafka.h>
#include <map>
#include <vector>

// What librdkafka does without a limit of time, within one: a broker that falls silent holds nobody up.
namespace infra::kafka {

// Of one partition: the first offset that is still there, and the one after the last.
struct LogRange {
    std::int64_t low = 0;
    std::int64_t high = 0;
};

struct LogRanges {
    rd_kafka_resp_err_t fault = RD_KAFKA_RESP_ERR_NO_ERROR;  // else the first one, and `of` tells nothing
    std::map<domain::PartitionId, LogRange> of = {};
};

// Waits at most twice that long.
LogRanges query_ranges(rd_kafka_t* handle, const std::vector<domain::PartitionId>& partitions,
                       std::chrono::milliseconds timeout);

// Offsets of the list, told to the group's coordinator. Not confirmed in time = RD_KAFKA_RESP_ERR__TIMED_OUT.
rd_kafka_resp_err_t commit_offsets(rd_kafka_t* consumer, const rd_kafka_topic_partition_list_t& list,
                                   std::chrono::milliseconds timeout);

// Leaves the group; the rebalance callback runs on this thread. The handle is to be destroyed with
// RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE.
rd_kafka_resp_err_t close_consumer(rd_kafka_t* consumer, std::chrono::milliseconds timeout);

}  // namespace infra::kafka
