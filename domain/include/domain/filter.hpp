#pragma once

#include "domain/result.hpp"

#include <boost/json/value.hpp>

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

namespace domain {

// What a subscription wants to see of a message's payload. As JSON:
//     {"field": "zone.name", "equals": "east"}        also "in": [...], "exists": true, "prefix": "ea" and
//     {"field": "energy", "range": {"gte": 500}}      gt, gte, lt, lte; numbers or texts
//     {"and": [...]}, {"or": [...]}, {"not": {...}}
// A field that is an array matches when one of its elements does. A missing field, or one of another type,
// does not match; so its `not` does. These are the semantics of SQL/JSON's lax paths, and filter_path() tells
// the same to PostgreSQL.
class Filter {
public:
    static constexpr std::size_t depth_max = 8;
    static constexpr std::size_t conditions_max = 64;
    static constexpr std::size_t values_max = 100;
    static constexpr std::size_t path_segments_max = 8;

    // Every fault is added to `faults`, with its place below `place`; the result is then of no use.
    static Filter parse(const boost::json::value& json, const std::string& place,
                        std::vector<FieldError>& faults);

    bool matches(const boost::json::value& payload) const;

    // A jsonpath predicate for `payload @@ path` that is true where matches() is.
    std::string filter_path() const;

    struct Node;

private:
    explicit Filter(std::shared_ptr<const Node> root) : root_(std::move(root)) {}
    std::shared_ptr<const Node> root_;
};

}  // namespace domain
