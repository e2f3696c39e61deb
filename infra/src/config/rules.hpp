#pragma once

#include "config/option.hpp"

#include <chrono>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

// Builders of option rules. `Field` is a callable that returns a reference to the field in a Config, so that
// a row of the table names its field once and the conversion is checked by its type.
namespace infra::config {

std::optional<bool> parse_boolean(std::string_view text);
std::optional<std::int64_t> parse_integer(std::string_view text);
std::optional<double> parse_number(std::string_view text);  // finite only
std::optional<Milliseconds> parse_seconds(std::string_view text);
std::string lower_case(std::string_view text);
std::string number_text(double value);

template <class Field>
Rule boolean(Field field)
{
    const std::string allowed = "true or false (also 1/0, yes/no, on/off)";
    return {allowed, [=](Config& config, std::string_view value, std::string_view) -> std::string {
                const auto parsed = parse_boolean(value);
                if (!parsed) return "must be " + allowed;
                field(config) = *parsed;
                return {};
            }};
}

template <class Field>
Rule integer(std::int64_t min, std::int64_t max, Field field)
{
    const std::string allowed = "whole number, " + std::to_string(min) + " to " + std::to_string(max);
    return {allowed, [=](Config& config, std::string_view value, std::string_view) -> std::string {
                const auto parsed = parse_integer(value);
                if (!parsed || *parsed < min || *parsed > max) return "must be a " + allowed;
                auto& target = field(config);
                target = static_cast<std::remove_reference_t<decltype(target)>>(*parsed);
                return {};
            }};
}

template <class Field>
Rule number(double min, double max, Field field)
{
    const std::string allowed = "number, " + number_text(min) + " to " + number_text(max);
    return {allowed, [=](Config& config, std::string_view value, std::string_view) -> std::string {
                const auto parsed = parse_number(value);
                if (!parsed || *parsed < min || *parsed > max) return "must be a " + allowed;
                field(config) = *parsed;
                return {};
            }};
}

template <class Field>
Rule finite_number(Field field)
{
    return {"finite number", [=](Config& config, std::string_view value, std::string_view) -> std::string {
                const auto parsed = parse_number(value);
                if (!parsed) return "must be a finite number";
                field(config) = *parsed;
                return {};
            }};
}

// `write(config, key, milliseconds)` stores the duration.
template <class Write>
Rule seconds_by_key(double min, double max, Write write)
{
    const std::string allowed = number_text(min) + " to " + number_text(max) + " seconds";
    return {allowed, [=](Config& config, std::string_view value, std::string_view key) -> std::string {
                const auto parsed = parse_number(value);
                if (!parsed || *parsed < min || *parsed > max) return "must be " + allowed;
                write(config, key, *parse_seconds(value));
                return {};
            }};
}

template <class Field>
Rule seconds(double min, double max, Field field)
{
    return seconds_by_key(
        min, max, [=](Config& config, std::string_view, Milliseconds value) { field(config) = value; });
}

// Fractions of a day are allowed; 0 has a meaning of its own.
template <class Field>
Rule days(double max, Field field)
{
    const std::string allowed = "0 to " + number_text(max) + " days";
    return {allowed, [=](Config& config, std::string_view value, std::string_view) -> std::string {
                const auto parsed = parse_number(value);
                if (!parsed || *parsed < 0 || *parsed > max) return "must be " + allowed;
                constexpr std::chrono::duration<double, std::milli> one_day = std::chrono::hours(24);
                field(config) = std::chrono::round<Milliseconds>(*parsed * one_day);
                return {};
            }};
}

template <class Enum>
using Names = std::vector<std::pair<std::string, Enum>>;

std::string joined_by_or(const std::vector<std::string>& names);

// `synonyms` are accepted but not advertised.
template <class Enum, class Write>
Rule one_of_by_key(const Names<Enum>& names, const Names<Enum>& synonyms, Write write)
{
    std::vector<std::string> shown;
    for (const auto& [name, value] : names) shown.push_back(name);
    Names<Enum> known = names;
    known.insert(known.end(), synonyms.begin(), synonyms.end());
    const std::string allowed = joined_by_or(shown);
    return {allowed, [=](Config& config, std::string_view text, std::string_view key) -> std::string {
                const std::string wanted = lower_case(text);
                for (const auto& [name, value] : known) {
                    if (name != wanted) continue;
                    write(config, key, value);
                    return {};
                }
                return "must be " + allowed;
            }};
}

template <class Enum, class Field>
Rule one_of(const Names<Enum>& names, const Names<Enum>& synonyms, Field field)
{
    return one_of_by_key(names, synonyms,
                         [=](Config& config, std::string_view, Enum value) { field(config) = value; });
}

// Checks a text and may bring it into its normal form; returns what is wrong, or an empty string.
using Check = std::string (*)(std::string& text);

template <class Field>
Rule text(std::string allowed, Shown shown, Check check, Field field)
{
    return {std::move(allowed),
            [=](Config& config, std::string_view value, std::string_view) -> std::string {
                std::string normal(value);
                std::string problem = check(normal);
                if (problem.empty()) field(config) = std::move(normal);
                return problem;
            },
            shown};
}

std::string check_database_url(std::string& text);
std::string check_http_url(std::string& text);
std::string check_amqp_url(std::string& text);
std::string check_event_target(std::string& text);  // http(s) URL or kafka:TOPIC
std::string check_report_file(std::string& text);
std::string check_host(std::string& text);
std::string check_brokers(std::string& text);
std::string check_topic(std::string& text);
std::string check_any(std::string& text);

Rule sink(SinkConfig& (*field)(Config&));
Rule positive_seconds(std::chrono::seconds& (*field)(Config&));  // PERIOD_IN_SECONDS
Rule networks(std::vector<domain::Network>& (*field)(Config&));

// Stores each of NAME=VALUE[,NAME=VALUE...] with `store`; `wanted` is what is said of what is no such list.
std::string store_pairs(Config& config, std::string_view value, const char* wanted, const Store& store);

// Stores of the consumer's maps; `key` is the topic, name or property.
std::string store_kafka_topic(Config& config, std::string_view value, std::string_view key);
std::string store_kafka_topics(Config& config, std::string_view value, std::string_view key);
std::string store_kafka_service(Config& config, std::string_view value, std::string_view key);
std::string store_kafka_property(Config& config, std::string_view key, std::string_view value);

}  // namespace infra::config
