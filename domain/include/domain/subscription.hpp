#pragma once

#include "domain/filter.hpp"
#include "domain/result.hpp"

#include <boost/json/object.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace domain {

enum class DeliveryStart { now, beginning };
enum class DeliveryBody { single, batch };  // batch: CloudEvents batch, HTTP only
enum class PayloadEncoding { json, avro };  // avro: Kafka only

// What one destination gets and how. Members that are absent are those of the worker's configuration.
struct SubscriptionSettings {
    std::vector<std::string> topics{"*"};  // exact, or prefixes that end in *
    std::optional<Filter> filter = {};
    std::string sink = {};
    std::vector<std::string> secrets = {};  // raw key bytes, the newest first
    std::vector<std::pair<std::string, std::string>> headers = {};
    std::optional<std::chrono::milliseconds> timeout = {};
    std::optional<std::uint32_t> in_flight_max = {};
    std::optional<double> rate_per_second = {};
    std::optional<std::uint32_t> attempts_max = {};
    DeliveryStart start = DeliveryStart::now;
    DeliveryBody body = DeliveryBody::single;
    PayloadEncoding encoding = PayloadEncoding::json;
    std::string schema = {};  // of an Avro record, as text; empty = inferred from each payload
    bool enabled = true;
};

constexpr std::string_view default_subscription = "default";  // its sink is the worker's OUTBOX_SINK

bool valid_subscription_name(std::string_view name);
bool topic_matches(std::string_view topic, const std::vector<std::string>& patterns);
// The patterns where each is one topic; empty where one is for many.
std::vector<std::string> exact_topics(const std::vector<std::string>& patterns);

// Reads what a client or a file says, and what is stored; names every fault. `name` is no part of it.
Result<SubscriptionSettings> parse_subscription(const boost::json::object& json);

// RFC 7396 for one level: members of `patch` replace those of `target`, null removes.
void merge_settings(boost::json::object& target, const boost::json::object& patch);

// For people: secrets and the values of headers are hidden.
boost::json::object shown_settings(const boost::json::object& json);

}  // namespace domain
