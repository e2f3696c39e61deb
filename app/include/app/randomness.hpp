#pragma once

#include "domain/ids.hpp"

#include <cstdint>

namespace app {

// From a generator of the calling thread, with a seed from the system. Not for secrets.
std::uint64_t random_bits();
double random_fraction();  // [0, 1)

// An id of now for something that stands alone. Those of one writer's events come from domain::FamilyIds.
domain::Uuid new_id();

}  // namespace app
