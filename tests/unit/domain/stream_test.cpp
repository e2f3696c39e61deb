#include "domain/stream.hpp"

#include <doctest/doctest.h>

using namespace domain;

TEST_SUITE("domain/stream")
{
    TEST_CASE("a topic's route is a service, the record's name, or a header")
    {
        const std::pair<std::string_view, std::optional<TopicRoute>> cases[] = {
            {"energy", TopicRoute{RouteBy::service, "energy"}},
            {"city.energy_v-2", TopicRoute{RouteBy::service, "city.energy_v-2"}},
            {"record:", TopicRoute{RouteBy::record, ""}},
            {"header:ce_type", TopicRoute{RouteBy::header, "ce_type"}},
            {"", std::nullopt},
            {"header:", std::nullopt},
            {"record:x", std::nullopt},
            {"a b", std::nullopt},
        };
        for (const auto& entry : cases) {
            const auto& [text, route] = entry;
            CAPTURE(entry.first);
            CHECK(parse_topic_route(text) == route);
        }
    }

    TEST_CASE("a message finds its service")
    {
        RouteTable table;
        table.topics = {{"plain", {RouteBy::service, "energy"}},
                        {"records", {RouteBy::record, ""}},
                        {"headed", {RouteBy::header, "Kind"}}};
        table.services = {{"city.Reading", "readings"}, {"bus", "transport"}};
        struct Case {
            std::string_view topic, record, kind, service;
        };
        const Case cases[] = {
            {"plain", "", "", "energy"},
            {"plain", "city.Reading", "bus", "energy"},
            {"records", "city.Reading", "", "readings"},
            {"records", "city.Other", "", "city.Other"},
            {"records", "", "", ""},
            {"headed", "", "bus", "transport"},
            {"headed", "", "tram", "tram"},
            {"headed", "", "two words", ""},
            {"headed", "", "", ""},
            {"elsewhere", "city.Reading", "bus", ""},
        };
        for (const auto& each : cases) {
            CAPTURE(each.topic);
            CAPTURE(each.record);
            CAPTURE(each.kind);
            StreamMessage message{{std::string(each.topic), 0}, 0};
            if (!each.kind.empty()) message.headers = {{"kind", "first"}, {"kInd", std::string(each.kind)}};
            CHECK(table.service_of(message, each.record) == each.service);
        }
    }

    TEST_CASE("a repeat is dropped, a gap is not")
    {
        PartitionPosition position(10);
        CHECK_FALSE(position.receive(9));
        CHECK(position.receive(10));
        CHECK_FALSE(position.receive(10));
        CHECK(position.receive(15));
        CHECK_FALSE(position.receive(14));
        CHECK(position.received() == 16);
        CHECK(position.stored() == 10);
        position.store(16);
        CHECK(position.stored() == 16);
    }

    TEST_CASE("a partition pauses at either limit and resumes when both are half free")
    {
        const FlowLimits limits{10, 1000};
        struct Case {
            bool paused;
            std::size_t messages, bytes;
            Flow flow;
        };
        const Case cases[] = {
            {false, 9, 999, Flow::keep}, {false, 10, 0, Flow::pause}, {false, 1, 1000, Flow::pause},
            {true, 6, 0, Flow::keep},    {true, 5, 501, Flow::keep},  {true, 5, 500, Flow::resume},
            {true, 0, 0, Flow::resume},  {false, 0, 0, Flow::keep},
        };
        for (const auto& each : cases) {
            CAPTURE(each.messages);
            CAPTURE(each.bytes);
            CHECK(decide_flow(each.paused, each.messages, each.bytes, limits) == each.flow);
        }
    }
}
