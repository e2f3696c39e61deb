// THE one place where a service is registered: write its file in services/, then add its two lines here.
#include "domain/service_registry.hpp"

namespace domain {

namespace services {
Service make_energy(const RuleSettings&);
Service make_health(const RuleSettings&);
Service make_security(const RuleSettings&);
Service make_transport(const RuleSettings&);
}  // namespace services

void register_builtin_services(ServiceRegistry& registry)
{
    registry.add("energy", services::make_energy);
    registry.add("health", services::make_health);
    registry.add("security", services::make_security);
    registry.add("transport", services::make_transport);
}

}  // namespace domain
