#pragma once

#include "app/ingest.hpp"
#include "infra/config/config.hpp"
#include "infra/pg/event_writer.hpp"

namespace infra {

// What the configuration says about ingest, for every program that takes events in.
app::IngestPolicy ingest_policy(const Config& config);
// `workflows` must outlive the writer.
pg::EventWriterOptions writer_options(const Config& config, const domain::workflow::Registry* workflows);

// Polis's own workflows, as they are configured.
domain::workflow::Registry workflow_registry(const Config& config);

}  // namespace infra
