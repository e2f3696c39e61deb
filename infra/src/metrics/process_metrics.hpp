#pragma once

#include <prometheus/metric_family.h>

#include <vector>

namespace infra::metrics {

// Processor time, memory, threads and descriptors of this process, under the names that all Prometheus
// clients use. What /proc does not tell is left out.
void append_process(std::vector<prometheus::MetricFamily>& families);

}  // namespace infra::metrics
