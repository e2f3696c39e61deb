#pragma once

#include "infra/config/load.hpp"

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace infra::config {

// Which part of a bad value a fault message may repeat.
enum class Shown { plain, url, secret };

// Writes a value into the configuration. `key` is what `*` stood for in the option's YAML path, else empty.
// Returns what is wrong with the value ("must be ..."), or an empty string. The text must not repeat the
// value.
using Store = std::function<std::string(Config& config, std::string_view value, std::string_view key)>;

struct Rule {
    std::string allowed;  // for people: "whole number, 1 to 100"
    Store store;
    Shown shown = Shown::plain;
};

// What the `*` of a YAML path may be.
enum class KeyKind { none, service, rule, stream };

using BinarySet = unsigned;

constexpr BinarySet only(Binary binary) { return 1U << static_cast<unsigned>(binary); }

constexpr BinarySet api = only(Binary::api);
constexpr BinarySet worker = only(Binary::worker);
constexpr BinarySet migrate = only(Binary::migrate);
constexpr BinarySet consumer = only(Binary::consumer);
constexpr BinarySet propagator = only(Binary::propagator);
constexpr BinarySet every_binary = api | worker | migrate | consumer | propagator;

// One row of the table. Loading, validation, --help and the README table are derived from it.
struct Option {
    std::string_view name = {};  // environment variable; empty = YAML only
    std::vector<std::string_view> aliases = {};
    std::string_view yaml_path = {};                  // segments joined by dots; `*` is any name
    std::vector<std::string_view> yaml_aliases = {};  // paths of the systems that Polis replaces
    std::string_view default_text =
        {};  // read by the same rule as a given value; empty = the field stays empty
    std::string_view default_note = {};  // shown instead of default_text where it says more
    BinarySet used_by = every_binary;
    bool required = false;
    bool (*waived)(const Config&) = nullptr;  // a required option that is not needed after all
    bool empty_is_a_fault = false;            // set but empty is refused instead of counting as unset
    KeyKind key_kind = KeyKind::none;
    Rule rule = {};
    std::string_view help = {};

    bool is_used_by(Binary binary) const { return (used_by & only(binary)) != 0; }
};

const std::vector<Option>& options();

// Rows of the table that have a file of their own: logging, polis-consumer, polis-propagator, what only files
// of the scenarios conductor have, retention, workflows and orchestrators.
std::vector<Option> log_options();
std::vector<Option> consumer_options();
std::vector<Option> propagator_options();
std::vector<Option> conductor_options();
std::vector<Option> retention_options();
std::vector<Option> workflow_options();
std::vector<Option> orchestrator_options();

// What USE_HTTP and USE_KAFKA say.
EventHubMode older_mode(const EventHubConfig& hub);

// What follows from the options of the orchestrators: endpoints, the hub's topic and subscription. Returns
// what is wrong.
std::vector<std::string> complete_orchestrators(Config& config, Binary binary);

}  // namespace infra::config
