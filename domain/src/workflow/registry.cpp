#include "domain/workflow/registry.hpp"

#include <boost/json.hpp>

#include <stdexcept>

namespace domain::workflow {

IdOf id_member(std::string member)
{
    return [member = std::move(member)](const boost::json::object& payload) -> std::string {
        const auto* value = payload.if_contains(member);
        if (value == nullptr) return {};
        if (const auto* text = value->if_string()) return {text->data(), text->size()};
        if (value->is_int64()) return std::to_string(value->get_int64());
        return value->is_uint64() ? std::to_string(value->get_uint64()) : std::string();
    };
}

void Registry::add(Definition definition)
{
    auto& versions = definitions_[definition.name];
    if (versions.contains(definition.version))
        throw std::logic_error("workflow registered twice: " + definition.name);
    const auto version = definition.version;
    versions.emplace(version, std::move(definition));
    const auto& newest = versions.rbegin()->second;
    std::erase_if(listeners_, [&](const auto& entry) { return entry.second.workflow == newest.name; });
    for (const auto& listen : newest.listens)
        listeners_.emplace(listen.service, Listener{newest.name, newest.id_name, listen});
}

const Definition* Registry::find(std::string_view name, std::uint32_t version) const
{
    const auto at = definitions_.find(name);
    if (at == definitions_.end()) return nullptr;
    const auto found = at->second.find(version);
    return found == at->second.end() ? nullptr : &found->second;
}

const Definition* Registry::newest(std::string_view name) const
{
    const auto at = definitions_.find(name);
    return at == definitions_.end() ? nullptr : &at->second.rbegin()->second;
}

std::vector<std::string_view> Registry::names() const
{
    std::vector<std::string_view> names;
    for (const auto& [name, versions] : definitions_) names.emplace_back(name);
    return names;
}

bool Registry::listens_to(std::string_view service) const
{
    return listeners_.find(service) != listeners_.end();
}

std::vector<Trigger> Registry::triggers_of(std::string_view service, const boost::json::object& payload,
                                           std::vector<std::string>& without_id) const
{
    std::vector<Trigger> triggers;
    const auto [from, to] = listeners_.equal_range(service);
    for (auto at = from; at != to; ++at) {
        const auto& listener = at->second;
        auto id = listener.listen.id(payload);
        if (id.empty() || id.size() > instance_id_chars_max) {
            without_id.push_back(listener.id_name);
            continue;
        }
        triggers.push_back({{listener.workflow, std::move(id)},
                            Incoming{std::string(service), payload},
                            listener.listen.starts});
    }
    return triggers;
}

}  // namespace domain::workflow
