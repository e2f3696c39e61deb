#pragma once

#include "domain/coercion.hpp"
#include "domain/result.hpp"

#include <boost/json/object.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace domain {

// What normalisation made of a payload. The normalised payload is the raw one overlaid with `patch`, which
// holds only what differs: null for a declared field that is absent, and coerced values. So undeclared fields
// keep their exact text. With errors the patch is empty and the normalised payload is the raw one.
struct Normalization {
    boost::json::object patch;
    std::vector<FieldError> errors;
};

class Normalizer {
public:
    virtual ~Normalizer() = default;
    virtual Normalization normalize(const boost::json::object& payload) const = 0;
};

// The normalised payload as rules read it: a field is never missing, it is null.
class Facts {
public:
    Facts(const boost::json::object& payload, const boost::json::object& patch)
        : payload_(payload), patch_(patch)
    {
    }

    const boost::json::value& operator[](std::string_view field) const;

private:
    const boost::json::object& payload_;
    const boost::json::object& patch_;
};

// A key that suppresses a second derived event of its service for the rule's window. A key with a missing
// part identifies nothing and never suppresses.
struct DerivedKey {
    std::string text;
    bool complete = true;
};

// "health_emergency" and the value of patient_id make health_emergency_123, or ..._None when it is null.
DerivedKey derived_key(std::string_view rule, const boost::json::value& part);

struct DerivedEvent {
    std::string service;
    boost::json::object payload;
    std::string_view rule;  // a constant of the service's file
    DerivedKey key;
};

class RuleEvaluator {
public:
    virtual ~RuleEvaluator() = default;
    // In the order of the answer. Fires nothing on what it cannot read.
    virtual std::vector<DerivedEvent> evaluate(const Facts& facts) const = 0;
};

struct RuleSettings {
    double energy_threshold_kwh = 500.0;
};

struct Service {
    std::unique_ptr<Normalizer> normalizer;
    std::unique_ptr<RuleEvaluator> rules;
};

using ServiceFactory = std::function<Service(const RuleSettings&)>;

// --- Building blocks for the files in services/
// ---------------------------------------------------------------

struct Field {
    std::string name;
    FieldType type;
};

// Declared fields are optional and coerced; everything else is kept as it is.
std::unique_ptr<Normalizer> declared_fields(std::vector<Field> fields);

using RuleFunction = std::function<std::vector<DerivedEvent>(const Facts&)>;
std::unique_ptr<RuleEvaluator> rule(RuleFunction evaluate);
std::unique_ptr<RuleEvaluator> no_rules();

}  // namespace domain
