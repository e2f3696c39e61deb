#pragma once

#include "app/ports/event_log.hpp"
#include "app/ports/message_sink.hpp"
#include "domain/subscription.hpp"
#include "infra/config/config.hpp"

#include <memory>

namespace infra {

// The sinks of the engine's own topics:
//     workflow:       stores what workflows send to themselves as events
//     workflow:NAME   makes the calls to that endpoint, and stores their replies as events
// A message is delivered once its event is committed.
constexpr std::string_view workflow_sink_scheme = "workflow:";

// `log` must outlive it. Throws std::invalid_argument where the endpoint is not configured.
std::unique_ptr<app::MessageSink> make_workflow_sink(const Config& config,
                                                     const domain::SubscriptionSettings& settings,
                                                     app::EventLog& log);

// The subscriptions of the engine: its own events, and the calls, one an endpoint, so that a dead one delays
// no other.
ConfiguredSubscriptions workflow_subscriptions(const WorkflowConfig& workflows);

}  // namespace infra
