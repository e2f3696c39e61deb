// security: alarms and cameras, stored as they come.
#include "domain/service.hpp"

namespace domain::services {

Service make_security(const RuleSettings&)
{
    return {declared_fields({{"alert", FieldType::boolean}, {"camera_trigger", FieldType::text}}),
            no_rules()};
}

}  // namespace domain::services
