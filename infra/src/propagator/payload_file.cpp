#include "propagator/payload_file.hpp"

#include "config/settings.hpp"
#include "domain/json.hpp"

#include <fmt/format.h>

#include <fstream>
#include <optional>
#include <system_error>

namespace infra::propagator {
namespace {

using domain::propagation::PayloadTemplate;

constexpr std::size_t faults_max = 20;  // a file with a million bad payloads makes its point sooner

PayloadFile refused(std::string fault) { return {{}, {std::move(fault)}}; }

std::optional<std::string> read_whole(const std::filesystem::path& path, std::string& fault)
{
    const std::string name = config::in_quotes(path.string());
    std::error_code unreadable;
    if (!std::filesystem::exists(path, unreadable)) {
        fault = "Payload file not found: " + path.string();
        return std::nullopt;
    }
    std::ifstream file(path, std::ios::binary);
    std::string text;
    // Not a directory and no endless pipe; its size is checked before it is read.
    const bool regular = std::filesystem::is_regular_file(path, unreadable);
    const auto size = regular ? std::filesystem::file_size(path, unreadable) : 0;
    if (!file || !regular || unreadable) {
        fault = fmt::format("Payload file cannot be read: {}", name);
    } else if (size > payload_file_bytes_max) {
        fault = fmt::format("Payload file is larger than {} bytes: {}", payload_file_bytes_max, name);
    } else {
        text.resize(size);
        file.read(text.data(), static_cast<std::streamsize>(size));
        text.resize(static_cast<std::size_t>(file.gcount()));
        return text;
    }
    return std::nullopt;
}

// One object of the array, or what is wrong with it.
domain::Result<PayloadTemplate> read_payload(const domain::Result<domain::JsonDocument>& item, bool templates)
{
    if (!item) return item.error();
    if (!item->value.is_object()) return domain::Fault{"Each payload must be a JSON object"};
    return templates ? PayloadTemplate::compile(item->text) : PayloadTemplate::verbatim(item->text);
}

}  // namespace

PayloadFile read_payload_file(const std::filesystem::path& path, bool templates)
{
    std::string fault;
    const auto text = read_whole(path, fault);
    if (!text) return refused(std::move(fault));
    const std::string name = config::in_quotes(path.string());
    if (!domain::looks_like_json_array(*text)) {
        const auto document = domain::parse_json(*text);
        if (document) return refused("Payload file must be a JSON array: " + name);
        return refused(
            fmt::format("Payload file {} contains invalid JSON: {}", name, document.error().detail));
    }
    const auto items = domain::parse_json_array(*text, payloads_max);
    if (!items)
        return refused(fmt::format("Payload file {} contains invalid JSON: {}", name, items.error().detail));
    if (items->empty()) return refused("Payload file is empty: " + name);
    PayloadFile file;
    for (std::size_t i = 0; i < items->size() && file.faults.size() < faults_max; ++i) {
        auto payload = read_payload((*items)[i], templates);
        if (payload) {
            file.payloads.push_back(std::move(*payload));
        } else {
            file.faults.push_back(fmt::format("{}, element {}: {}", name, i, payload.error().detail));
        }
    }
    return file;
}

}  // namespace infra::propagator
