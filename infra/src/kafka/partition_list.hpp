#pragma once

#include "app/ports/stream_log.hpp"

#include <librdkafka/rdkafka.h>
#include <memory>
#include <vector>

namespace infra::kafka {

struct ListRelease {
    void operator()(rd_kafka_topic_partition_list_t* list) const
    {
        rd_kafka_topic_partition_list_destroy(list);
    }
};
using PartitionList = std::unique_ptr<rd_kafka_topic_partition_list_t, ListRelease>;

PartitionList new_list(std::size_t size);
PartitionList to_list(const std::vector<domain::PartitionId>& partitions);
PartitionList to_list(const app::Positions& positions);
std::vector<domain::PartitionId> from_list(const rd_kafka_topic_partition_list_t& list);

}  // namespace infra::kafka
