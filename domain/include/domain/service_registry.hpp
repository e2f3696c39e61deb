#pragma once

#include "domain/service.hpp"

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace domain {

// 1 to 100 of [A-Za-z0-9._-], because it becomes a Kafka topic; not "." or "..", which clients resolve as
// paths.
bool valid_service_name(std::string_view name);

// Services by name, and the pass-through service for every other name. Constant after start-up.
class ServiceRegistry {
public:
    explicit ServiceRegistry(RuleSettings settings = {});

    // Throws std::logic_error on a second service of that name or an invalid name.
    void add(std::string name, const ServiceFactory& factory);

    // Null when no service of that name is registered.
    const Service* find(std::string_view name) const;
    const Service& find_or_pass_through(std::string_view name) const;

    std::vector<std::string> names() const;

private:
    RuleSettings settings_;
    std::map<std::string, Service, std::less<>> services_;
    Service pass_through_;
};

// The one place where Polis's own services are registered.
void register_builtin_services(ServiceRegistry& registry);

}  // namespace domain
