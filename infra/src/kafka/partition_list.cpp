#include "kafka/partition_list.hpp"

namespace infra::kafka {

PartitionList new_list(std::size_t size)
{
    return PartitionList(rd_kafka_topic_partition_list_new(static_cast<int>(size)));
}

PartitionList to_list(const std::vector<domain::PartitionId>& partitions)
{
    auto list = new_list(partitions.size());
    for (const auto& id : partitions)
        rd_kafka_topic_partition_list_add(list.get(), id.topic.c_str(), id.number);
    return list;
}

PartitionList to_list(const app::Positions& positions)
{
    auto list = new_list(positions.size());
    for (const auto& [id, offset] : positions) {
        rd_kafka_topic_partition_list_add(list.get(), id.topic.c_str(), id.number)->offset = offset;
    }
    return list;
}

std::vector<domain::PartitionId> from_list(const rd_kafka_topic_partition_list_t& list)
{
    std::vector<domain::PartitionId> ids;
    ids.reserve(static_cast<std::size_t>(list.cnt));
    for (int i = 0; i < list.cnt; ++i) ids.push_back({list.elems[i].topic, list.elems[i].partition});
    return ids;
}

}  // namespace infra::kafka
