// energy: consumption over the threshold is a possible risk (contracts 1.2 and 1.3).
#include "domain/service.hpp"

namespace domain::services {
namespace {

constexpr std::string_view critical_energy_usage = "critical_energy_usage";

std::vector<DerivedEvent> evaluate(const Facts& facts, double threshold_kwh)
{
    const auto& energy = facts["energy"];
    if (!energy.is_number() || !(energy.to_number<double>() > threshold_kwh)) return {};
    const auto& neighborhood = facts["neighborhood"];
    return {{"security",
             {{"alert", "possible_risk"},
              {"reason", critical_energy_usage},
              {"neighborhood", neighborhood},
              {"energy", energy}},
             critical_energy_usage,
             derived_key(critical_energy_usage, neighborhood)}};
}

}  // namespace

Service make_energy(const RuleSettings& settings)
{
    return {declared_fields({{"energy", FieldType::real}, {"neighborhood", FieldType::text}}),
            rule([threshold_kwh = settings.energy_threshold_kwh](const Facts& facts) {
                return evaluate(facts, threshold_kwh);
            })};
}

}  // namespace domain::services
