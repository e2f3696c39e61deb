#pragma once

#include <boost/json/value.hpp>

#include <cstddef>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace infra::config {

// Far above any real file; keeps a wrong path (a disk image, an endless pipe) from filling the memory.
constexpr std::size_t config_file_bytes_max = 1024 * 1024;

struct FileText {
    std::string text;
    std::string fault;  // empty = read
};

FileText read_config_file(const std::filesystem::path& path);

struct EnvFileEntry {
    std::string value;
    std::size_t line = 0;
};

struct EnvFile {
    std::map<std::string, EnvFileEntry, std::less<>> entries;  // the last of repeated keys
    std::vector<std::string> faults;
};

// `name` is how messages call the file. Messages never repeat a line, which may hold a secret.
EnvFile parse_env_file(std::string_view text, const std::string& name);

// One scalar of the YAML file that some option reads.
struct YamlSetting {
    std::vector<std::string> path;
    std::string value;
    std::string origin;  // "polis.yaml:12"
};

// An entry of `subscriptions:`, which has a form of its own (domain/subscription.hpp).
struct YamlSubscription {
    std::string name;
    boost::json::value settings;
    std::string origin;
};

struct YamlFile {
    std::vector<YamlSetting> settings;
    std::vector<YamlSubscription> subscriptions;
    std::vector<std::string> faults;  // unknown keys among them
};

YamlFile parse_yaml_file(const std::string& text, const std::string& name);

std::vector<std::string> split_path(std::string_view path);

// The candidate that differs from `word` by a slip of the keyboard, or an empty string.
std::string nearest(std::string_view word, const std::vector<std::string>& candidates);

std::string trimmed(std::string_view text);

// 1 to 100 of A-Z a-z 0-9 . _ -
bool is_plain_name(std::string_view name);

// Quoted, with control characters escaped and the length limited: safe on a terminal.
std::string in_quotes(std::string_view text);

}  // namespace infra::config
