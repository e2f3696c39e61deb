#pragma once

#include "domain/propagation/payload_template.hpp"

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

namespace infra::propagator {

constexpr std::size_t payload_file_bytes_max = std::size_t{64} * 1024 * 1024;
constexpr std::size_t payloads_max = 1'000'000;

struct PayloadFile {
    std::vector<domain::propagation::PayloadTemplate> payloads;
    std::vector<std::string> faults;  // empty = payloads is not
};

// Reads a JSON array of objects. Each payload keeps the exact text it has in the file.
PayloadFile read_payload_file(const std::filesystem::path& path, bool templates);

}  // namespace infra::propagator
