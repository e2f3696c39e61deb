#include "kafka/known_records.hpp"

namespace infra::kafka {
namespace {

constexpr KnownRecord records[] = {
    {"scenario.events.projects.ProjectCreated",
     R"({"type":"record","name":"ProjectCreated","namespace":"scenario.events.projects","fields":[
         {"name":"project_id","type":"long"},
         {"name":"base_scenario_id","type":"long"},
         {"name":"territory_id","type":"long"}]})"},
    {"scenario.events.projects.BaseScenarioCreated",
     R"({"type":"record","name":"BaseScenarioCreated","namespace":"scenario.events.projects","fields":[
         {"name":"project_id","type":"long"},
         {"name":"base_scenario_id","type":"long"},
         {"name":"regional_scenario_id","type":"long"}]})"},
    {"scenario.events.projects.ScenarioObjectsUpdated",
     R"({"type":"record","name":"ScenarioObjectsUpdated","namespace":"scenario.events.projects","fields":[
         {"name":"project_id","type":"long"},
         {"name":"scenario_id","type":"long"},
         {"name":"service_types","type":{"type":"array","items":"long"}},
         {"name":"physical_object_types","type":{"type":"array","items":"long"}}]})"},
    {"scenario.events.projects.ScenarioZonesUpdated",
     R"({"type":"record","name":"ScenarioZonesUpdated","namespace":"scenario.events.projects","fields":[
         {"name":"project_id","type":"long"},
         {"name":"scenario_id","type":"long"}]})"},
    {"scenario.events.regional_scenarios.RegionalScenarioCreated",
     R"({"type":"record","name":"RegionalScenarioCreated","namespace":"scenario.events.regional_scenarios","fields":[
         {"name":"scenario_id","type":"long"},
         {"name":"territory_id","type":"long"}]})"},
};

}  // namespace

std::span<const KnownRecord> known_records() { return records; }

}  // namespace infra::kafka
