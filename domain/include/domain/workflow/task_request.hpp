#pragma once

#include "domain/result.hpp"

#include <boost/json/object.hpp>

#include <array>
#include <string_view>

namespace domain::workflow {

// The services that a task is split over; each is an endpoint of that name.
constexpr std::array<std::string_view, 3> task_services{"revenue", "rebates", "specialty"};

// How tasks come in, as services of events.
constexpr std::string_view task_requested = "task.requested";  // from the API
constexpr std::string_view task_direct = "task.direct";        // from the API: not by way of the hub
constexpr std::string_view task_queued = "task.queued";        // from the hub

// Where the message of a task goes that travels through the hub.
constexpr std::string_view hub_topic = "$hub";

// A request as it is kept: known members only, and each item with all three services, null where absent.
// The fault has one entry for each field that is wrong.
Result<boost::json::object> read_task_request(const boost::json::object& body);

}  // namespace domain::workflow
