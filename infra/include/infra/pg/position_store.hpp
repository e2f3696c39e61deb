#pragma once

#include "app/ports/stream_log.hpp"

#include <memory>
#include <string>

namespace infra::pg {

// Stored positions, over a connection of its own that is opened when it is first needed. Not for use from two
// threads.
std::unique_ptr<app::PositionStore> make_position_store(std::string database_url);

}  // namespace infra::pg
