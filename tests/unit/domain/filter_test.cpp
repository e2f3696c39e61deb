#include "domain/filter.hpp"

#include <boost/json/parse.hpp>
#include <doctest/doctest.h>

#include <string>
#include <vector>

TEST_SUITE("domain/filter")
{
    using domain::FieldError;
    using domain::Filter;

    bool matches(const std::string& filter, const std::string& payload)
    {
        std::vector<FieldError> faults;
        const auto parsed = Filter::parse(boost::json::parse(filter), "filter", faults);
        REQUIRE(faults.empty());
        return parsed.matches(boost::json::parse(payload));
    }

    TEST_CASE("conditions on payload fields")
    {
        struct Row {
            const char* filter;
            const char* payload;
            bool matches;
        };
        const Row rows[] = {
            {R"({"field":"a","equals":1})", R"({"a":1})", true},
            {R"({"field":"a","equals":1})", R"({"a":1.0})", true},
            {R"({"field":"a","equals":1})", R"({"a":"1"})", false},
            {R"({"field":"a","equals":1})", R"({})", false},
            {R"({"field":"a","equals":9007199254740993})", R"({"a":9007199254740992})", false},
            {R"({"field":"a","equals":null})", R"({"a":null})", true},
            {R"({"field":"a","equals":null})", R"({})", false},
            {R"({"field":"a","equals":true})", R"({"a":true})", true},
            {R"({"field":"a.b","equals":"x"})", R"({"a":{"b":"x"}})", true},
            {R"({"field":"a.b","equals":"x"})", R"({"a":[{"b":"y"},{"b":"x"}]})", true},
            {R"({"field":"a","equals":2})", R"({"a":[1,2]})", true},
            {R"({"field":"a","equals":2})", R"({"a":[[2]]})", false},
            {R"({"field":"a","in":["x","y"]})", R"({"a":"y"})", true},
            {R"({"field":"a","in":["x",2]})", R"({"a":"z"})", false},
            {R"({"field":"a","exists":true})", R"({"a":null})", true},
            {R"({"field":"a","exists":false})", R"({"a":null})", false},
            {R"({"field":"a","exists":false})", R"({"b":1})", true},
            {R"({"field":"a","range":{"gte":5,"lt":7}})", R"({"a":5})", true},
            {R"({"field":"a","range":{"gte":5,"lt":7}})", R"({"a":7})", false},
            {R"({"field":"a","range":{"gt":5}})", R"({"a":5.5})", true},
            {R"({"field":"a","range":{"gt":5}})", R"({"a":"6"})", false},
            {R"({"field":"a","range":{"lte":"b"}})", R"({"a":"abc"})", true},
            {R"({"field":"a","prefix":"ab"})", R"({"a":"abc"})", true},
            {R"({"field":"a","prefix":"ab"})", R"({"a":"xab"})", false},
            {R"({"field":"a","prefix":"ab"})", R"({"a":1})", false},
            {R"({"not":{"field":"a","equals":1}})", R"({})", true},
            {R"({"not":{"field":"a","equals":1}})", R"({"a":1})", false},
            {R"({"and":[{"field":"a","equals":1},{"field":"b","equals":2}]})", R"({"a":1,"b":2})", true},
            {R"({"and":[{"field":"a","equals":1},{"field":"b","equals":2}]})", R"({"a":1})", false},
            {R"({"or":[{"field":"a","equals":1},{"field":"b","equals":2}]})", R"({"b":2})", true},
            {R"({"or":[{"field":"a","equals":1},{"field":"b","equals":2}]})", R"([1])", false},
        };
        for (const Row& row : rows) {
            CAPTURE(row.filter);
            CAPTURE(row.payload);
            CHECK(matches(row.filter, row.payload) == row.matches);
        }
    }

    TEST_CASE("every fault is named with its place")
    {
        std::vector<FieldError> faults;
        Filter::parse(boost::json::parse(R"({"and":[{"field":"a","equals":[1]},{"field":"a..b","exists":1},
            {"maybe":1},{"field":"a","range":{"above":1}},{"not":5},{"field":"a"}]})"),
                      "filter", faults);
        std::vector<std::string> places;
        for (const auto& fault : faults) places.push_back(fault.field);
        CHECK(places == std::vector<std::string>{"filter.and[0].equals", "filter.and[1].field",
                                                 "filter.and[1].exists", "filter.and[2].maybe",
                                                 "filter.and[3].range.above", "filter.and[4].not",
                                                 "filter.and[5]"});
    }

    TEST_CASE("nesting and size are limited")
    {
        std::string deep = R"({"field":"a","exists":true})";
        for (std::size_t i = 0; i < Filter::depth_max; ++i) deep = R"({"not":)" + deep + "}";
        std::vector<FieldError> faults;
        Filter::parse(boost::json::parse(deep), "filter", faults);
        CHECK(faults.size() == 1);
    }

    TEST_CASE("the same as a path of SQL/JSON")
    {
        std::vector<FieldError> faults;
        const auto filter = Filter::parse(
            boost::json::parse(
                R"({"and":[{"field":"a.b","range":{"gte":1,"lt":2}},{"not":{"field":"c","prefix":"\""}}]})"),
            "filter", faults);
        CHECK(filter.filter_path() ==
              R"((exists($."a"."b" ? (@ >= 1 && @ < 2))) && (!((exists($."c" ? (@ starts with "\""))))))");
    }
}
