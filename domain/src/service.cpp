#include "domain/service.hpp"

#include <utility>

namespace domain {
namespace {

namespace json = boost::json;

bool same_kind_and_value(const json::value& a, const json::value& b)
{
    return a.kind() == b.kind() && a == b;
}

class DeclaredFields final : public Normalizer {
public:
    explicit DeclaredFields(std::vector<Field> fields) : fields_(std::move(fields)) {}

    Normalization normalize(const json::object& payload) const override
    {
        Normalization result;
        for (const auto& field : fields_) normalize_field(field, payload, result);
        if (!result.errors.empty()) result.patch.clear();
        return result;
    }

private:
    static void normalize_field(const Field& field, const json::object& payload, Normalization& result)
    {
        const json::value* raw = payload.if_contains(field.name);
        if (raw == nullptr) {
            result.patch[field.name] = nullptr;
            return;
        }
        if (raw->is_null()) return;
        auto value = coerce(*raw, field.type);
        if (!value) {
            result.errors.push_back({field.name, expectation(field.type)});
        } else if (!same_kind_and_value(*value, *raw)) {
            result.patch[field.name] = *std::move(value);
        }
    }

    std::vector<Field> fields_;
};

class FunctionRule final : public RuleEvaluator {
public:
    explicit FunctionRule(RuleFunction evaluate) : evaluate_(std::move(evaluate)) {}
    std::vector<DerivedEvent> evaluate(const Facts& facts) const override { return evaluate_(facts); }

private:
    RuleFunction evaluate_;
};

}  // namespace

const json::value& Facts::operator[](std::string_view field) const
{
    static const json::value missing = nullptr;
    if (const auto* value = patch_.if_contains(field)) return *value;
    if (const auto* value = payload_.if_contains(field)) return *value;
    return missing;
}

DerivedKey derived_key(std::string_view rule, const json::value& part)
{
    return {std::string(rule) + "_" + python_text(part), !part.is_null()};
}

std::unique_ptr<Normalizer> declared_fields(std::vector<Field> fields)
{
    return std::make_unique<DeclaredFields>(std::move(fields));
}

std::unique_ptr<RuleEvaluator> rule(RuleFunction evaluate)
{
    return std::make_unique<FunctionRule>(std::move(evaluate));
}

std::unique_ptr<RuleEvaluator> no_rules()
{
    return rule([](const Facts&) { return std::vector<DerivedEvent>{}; });
}

}  // namespace domain
