#pragma once

#include "domain/workflow/workflow.hpp"

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace domain::workflow {

// The workflows by name and version. Filled at start, constant afterwards.
class Registry {
public:
    // Throws std::logic_error where that version is there already.
    void add(Definition definition);

    const Definition* find(std::string_view name, std::uint32_t version) const;
    // The version that new instances get; null when there is no such workflow.
    const Definition* newest(std::string_view name) const;
    std::vector<std::string_view> names() const;

    bool listens_to(std::string_view service) const;
    // Which instances an event concerns. An event that a workflow listens to and that has no id is a field
    // error.
    std::vector<Trigger> triggers_of(std::string_view service, const boost::json::object& payload,
                                     std::vector<std::string>& without_id) const;

private:
    struct Listener {
        std::string workflow;
        std::string id_name;
        Listen listen;
    };

    std::map<std::string, std::map<std::uint32_t, Definition>, std::less<>> definitions_;
    std::multimap<std::string, Listener, std::less<>> listeners_;  // of the newest versions
};

// The one place where workflows are registered: builtin_workflows.cpp.
void register_builtin_workflows(Registry& registry, const Settings& settings);

}  // namespace domain::workflow
