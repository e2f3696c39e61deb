// transport: positions of buses, stored as they come.
#include "domain/service.hpp"

namespace domain::services {

Service make_transport(const RuleSettings&)
{
    return {
        declared_fields({{"bus_id", FieldType::integer}, {"lat", FieldType::real}, {"lon", FieldType::real}}),
        no_rules()};
}

}  // namespace domain::services
