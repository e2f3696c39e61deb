// THE one place where a workflow is registered: write its file in workflows/, then add its two lines here.
#include "domain/workflow/registry.hpp"

namespace domain::workflow {

Definition make_city_guide(const Settings&);
Definition make_project_created(const Settings&);
Definition make_regional_scenario_created(const Settings&);
Definition make_task(const Settings&);
Definition make_water_leak(const Settings&);

void register_builtin_workflows(Registry& registry, const Settings& settings)
{
    registry.add(make_city_guide(settings));
    registry.add(make_project_created(settings));
    registry.add(make_regional_scenario_created(settings));
    registry.add(make_task(settings));
    registry.add(make_water_leak(settings));
}

}  // namespace domain::workflow
