#include "domain/service_registry.hpp"

#include <stdexcept>
#include <utility>

namespace domain {

bool valid_service_name(std::string_view name)
{
    constexpr std::size_t name_bytes_max = 100;
    constexpr std::string_view allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    if (name.empty() || name.size() > name_bytes_max || name == "." || name == "..") return false;
    return name.find_first_not_of(allowed) == std::string_view::npos;
}

ServiceRegistry::ServiceRegistry(RuleSettings settings)
    : settings_(settings), pass_through_{declared_fields({}), no_rules()}
{
}

void ServiceRegistry::add(std::string name, const ServiceFactory& factory)
{
    if (!valid_service_name(name)) throw std::logic_error("not a service name: " + name);
    const auto [at, added] = services_.try_emplace(std::move(name), factory(settings_));
    if (!added) throw std::logic_error("service registered twice: " + at->first);
}

const Service* ServiceRegistry::find(std::string_view name) const
{
    const auto at = services_.find(name);
    return at == services_.end() ? nullptr : &at->second;
}

const Service& ServiceRegistry::find_or_pass_through(std::string_view name) const
{
    const auto* service = find(name);
    return service == nullptr ? pass_through_ : *service;
}

std::vector<std::string> ServiceRegistry::names() const
{
    std::vector<std::string> names;
    names.reserve(services_.size());
    for (const auto& [name, service] : services_) names.push_back(name);
    return names;
}

}  // namespace domain
