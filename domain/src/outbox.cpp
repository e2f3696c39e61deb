#include "domain/outbox.hpp"

namespace domain {

std::string shown_ordering_key(const OutboxMessage& message)
{
    return message.ordering_key.empty() ? to_string(family_base(message.event_id)) : message.ordering_key;
}

std::string_view to_string(Verdict verdict)
{
    switch (verdict) {
        case Verdict::delivered:
            return "delivered";
        case Verdict::retry:
            return "retry";
        case Verdict::rejected:
            return "rejected";
        case Verdict::gone:
            return "gone";
        case Verdict::abandoned:
            return "abandoned";
    }
    return "";
}

std::string_view to_string(Blame blame)
{
    switch (blame) {
        case Blame::destination:
            return "destination";
        case Blame::poison:
            return "poison";
        case Blame::ours:
            return "ours";
        case Blame::parked:
            return "parked";
    }
    return "";
}

}  // namespace domain
