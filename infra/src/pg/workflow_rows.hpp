#pragma once

#include "domain/ingest.hpp"
#include "domain/workflow/batch.hpp"
#include "pg/connection.hpp"

#include <map>
#include <span>

// The workflows' part of the writer's transaction.
namespace infra::pg {

using Instances = std::map<domain::workflow::InstanceKey, domain::workflow::Instance>;

void prepare_workflow_statements(Pipeline& pipeline);

// Asks for the instances of all triggers and locks their rows. False when there are no triggers.
bool send_instance_lookup(Pipeline& pipeline, std::span<const domain::PreparedEvent* const> batch);
Instances read_instances(const PGresult* rows);

void send_workflow_rows(Pipeline& pipeline, const domain::workflow::Batch::Rows& rows);

}  // namespace infra::pg
