#include "domain/coercion.hpp"
#include "domain/json.hpp"
#include "fuzz/fuzz.hpp"

#include <boost/json/parse.hpp>
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

namespace {

namespace json = boost::json;
using fuzz::require;

constexpr std::size_t array_items_max = 1000;
// What domain::parse_json gives to Boost's parser.
constexpr std::size_t parser_depth_max = 256;

struct Traits {
    std::size_t depth = 0;
    bool has_nul = false;
    bool has_infinity = false;
};

void inspect(const json::value& value, std::size_t depth, Traits& traits)
{
    const auto check_text = [&traits](std::string_view text) {
        traits.has_nul = traits.has_nul || text.find('\0') != std::string_view::npos;
    };
    if (const auto* text = value.if_string()) check_text(*text);
    if (value.is_double() && !std::isfinite(value.get_double())) traits.has_infinity = true;
    if (const auto* array = value.if_array()) {
        traits.depth = std::max(traits.depth, depth + 1);
        for (const auto& item : *array) inspect(item, depth + 1, traits);
    }
    if (const auto* object = value.if_object()) {
        traits.depth = std::max(traits.depth, depth + 1);
        for (const auto& member : *object) {
            check_text(member.key());
            inspect(member.value(), depth + 1, traits);
        }
    }
}

// Boost.JSON 1.81 rounds some numbers wrongly in the last places, and loses those at the ends of the range.
bool is_about(double left, double right)
{
    constexpr double tolerance = 1e-9;
    constexpr double smallest = 1e-290;
    constexpr double largest = 1e290;
    if (left == right || std::abs(left) < smallest || std::abs(left) > largest) return true;
    return std::abs(left - right) <= tolerance * std::abs(left);
}

bool is_same(const json::value& left, const json::value& right)
{
    if (left.kind() != right.kind()) return false;
    if (left.is_double()) return is_about(left.get_double(), right.get_double());
    if (const auto* array = left.if_array()) {
        const auto& other = right.get_array();
        return std::equal(array->begin(), array->end(), other.begin(), other.end(), is_same);
    }
    if (const auto* object = left.if_object()) {
        const auto& other = right.get_object();
        return std::equal(
            object->begin(), object->end(), other.begin(), other.end(),
            [](auto& one, auto& two) { return one.key() == two.key() && is_same(one.value(), two.value()); });
    }
    return left == right;
}

bool is_our_policy(const std::string& detail)
{
    for (const char* const reason :
         {"nested deeper than 32 levels", "NUL character", "beyond 64 bits", "out of range"}) {
        if (detail.find(reason) != std::string::npos) return true;
    }
    return false;
}

void check_fault(const domain::Fault& fault)
{
    require(!fault.detail.empty(), "a fault without words");
    require(fuzz::is_valid_utf8(fault.detail), "a fault that is not UTF-8: " + fault.detail);
}

void check_round_trip(const json::value& value)
{
    const std::string text = domain::json_text(value);
    const auto again = domain::parse_json(text);
    require(again.has_value(), "json_text() writes what parse_json() refuses: " + text);
    require(again->value == value, "json_text() loses something: " + text);
    require(domain::json_text(again->value) == text, "json_text() is not stable: " + text);
}

void check_coercion(const json::value& value)
{
    using domain::FieldType;
    for (const auto type : {FieldType::integer, FieldType::real, FieldType::boolean, FieldType::text}) {
        const auto coerced = domain::coerce(value, type);
        if (!coerced) continue;
        const bool fits =
            (type == FieldType::integer && (coerced->is_int64() || coerced->is_uint64())) ||
            (type == FieldType::real && coerced->is_double() && std::isfinite(coerced->get_double())) ||
            (type == FieldType::boolean && coerced->is_bool()) ||
            (type == FieldType::text && coerced->is_string());
        require(fits, "coerce() gives another type");
        const auto again = domain::coerce(*coerced, type);
        require(again && *again == *coerced, "coerce() is not stable");
    }
    require(fuzz::is_valid_utf8(domain::python_text(value)), "python_text() is not UTF-8");
}

void check_members(const domain::JsonDocument& document)
{
    for (const auto& member : document.value.get_object()) {
        const auto text = domain::json_member_text(document.text, member.key());
        require(text.has_value(), "a member is not found: " + std::string(member.key()));
        const auto value = domain::parse_json(*text);
        require(value.has_value() && value->value == member.value(),
                "a member has another text: " + std::string(*text));
    }
    require(!domain::json_member_text(document.text, "no such member"),
            "a member is found that is not there");
}

bool lies_within(std::string_view part, std::string_view whole)
{
    return part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size();
}

void check_array(const std::string& text, const json::value& theirs, const json::error_code& ec)
{
    const auto ours = domain::parse_json_array(text, array_items_max);
    const bool should = !ec && theirs.is_array() && theirs.get_array().size() <= array_items_max;
    // An element's depth counts from the element, so an array may be one level deeper than Boost was told.
    require(ours.has_value() == should || (ours.has_value() && ec == json::error::too_deep),
            "parse_json_array() and Boost.JSON differ");
    if (!ours) return check_fault(ours.error());
    require(domain::looks_like_json_array(text), "an array that does not look like one");
    require(!should || ours->size() == theirs.get_array().size(),
            "parse_json_array() has another number of items");
    for (const auto& item : *ours) {
        if (!item) {
            check_fault(item.error());
            continue;
        }
        require(lies_within(item->text, text), "an item lies outside of its array");
        const auto alone = domain::parse_json(item->text);
        require(alone.has_value() && alone->value == item->value, "an item is read differently alone");
    }
}

void check_json(const std::string& text)
{
    json::parse_options options;
    options.max_depth = parser_depth_max;
    json::error_code ec;
    const json::value theirs = json::parse(text, ec, {}, options);
    const auto ours = domain::parse_json(text);
    check_array(text, theirs, ec);
    Traits traits;
    inspect(theirs, 0, traits);
    if (!ours) {
        check_fault(ours.error());
        require(ec || is_our_policy(ours.error().detail),
                "refused without a reason of ours: " + ours.error().detail);
        return;
    }
    require(!ec, "accepted what Boost.JSON refuses: " + ec.message());
    require(is_same(ours->value, theirs), "read differently from Boost.JSON");
    require(traits.depth <= domain::json_depth_max && !traits.has_nul,
            "accepted what PostgreSQL cannot store");
    check_round_trip(ours->value);
    check_coercion(ours->value);
    if (ours->value.is_object()) check_members(*ours);
    if (const auto* array = ours->value.if_array()) {
        for (const auto& item : *array) check_coercion(item);
    }
}

}  // namespace

TEST_SUITE("fuzz/json")
{
    TEST_CASE("changed documents are read like Boost.JSON reads them, or refused for a reason of ours")
    {
        fuzz::run(fuzz::mutated({fuzz::json_seeds(), fuzz::json_tokens()}), check_json);
    }

    TEST_CASE("random documents are read like Boost.JSON reads them, or refused for a reason of ours")
    {
        fuzz::run(fuzz::random_json, check_json);
    }
}
