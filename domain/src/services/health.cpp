// health: an emergency sends a vehicle and clears the way (contracts 1.2 and 1.3).
#include "domain/service.hpp"

namespace domain::services {
namespace {

constexpr std::string_view health_emergency = "health_emergency";

std::vector<DerivedEvent> evaluate(const Facts& facts)
{
    const auto& alert = facts["alert"];
    if (!alert.is_string() || alert.get_string() != "emergency") return {};
    const auto& patient = facts["patient_id"];
    const auto& location = facts["location"];
    const auto key = derived_key(health_emergency, patient);
    return {{"transport",
             {{"action", "dispatch_nearest_vehicle"},
              {"reason", health_emergency},
              {"location", location},
              {"patient_id", patient}},
             health_emergency,
             key},
            {"security",
             {{"priority", "high"},
              {"action", "escort_and_clear_traffic"},
              {"reason", health_emergency},
              {"location", location},
              {"patient_id", patient}},
             health_emergency,
             key}};
}

}  // namespace

Service make_health(const RuleSettings&)
{
    return {
        declared_fields(
            {{"patient_id", FieldType::integer}, {"alert", FieldType::text}, {"location", FieldType::text}}),
        rule(evaluate)};
}

}  // namespace domain::services
