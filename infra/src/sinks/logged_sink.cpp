#include "infra/sinks/logged_sink.hpp"

#include "domain/ids.hpp"
#include "infra/log/log.hpp"

#include <utility>

namespace infra {

LoggedSink::LoggedSink(std::unique_ptr<app::MessageSink> sink, std::string subscription)
    : sink_(std::move(sink)), subscription_(std::move(subscription))
{
}

void LoggedSink::send(const domain::OutboxMessage& message, Done done)
{
    sink_->send(message, [this, id = message.event_id, lane = message.lane, seq = message.seq,
                          done = std::move(done)](domain::DeliveryOutcome outcome) {
        const bool failed =
            outcome.verdict != domain::Verdict::delivered && outcome.verdict != domain::Verdict::abandoned;
        if (failed) {
            log_warning("message not delivered", {{"event_id", domain::to_string(id)},
                                                  {"subscription", subscription_},
                                                  {"lane", lane},
                                                  {"seq", seq},
                                                  {"status", outcome.status},
                                                  {"again", outcome.verdict == domain::Verdict::retry}});
        }
        done(std::move(outcome));
    });
}

}  // namespace infra
