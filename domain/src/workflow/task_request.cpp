#include "domain/workflow/task_request.hpp"

#include <boost/json.hpp>

#include <string>
#include <utility>
#include <vector>

namespace domain::workflow {
namespace {

namespace json = boost::json;

constexpr const char* must_be_text = "must be a text";

class Reader {
public:
    json::value text(const json::object& object, std::string_view member, const std::string& place)
    {
        const auto* value = object.if_contains(member);
        if (value != nullptr && value->is_string()) return *value;
        fault(place + std::string(member), value == nullptr ? "is required" : must_be_text);
        return nullptr;
    }

    json::array items(const json::object& body)
    {
        json::array items;
        const auto* value = body.if_contains("payload");
        const auto* given = value == nullptr ? nullptr : value->if_array();
        if (given == nullptr) {
            fault("payload", value == nullptr ? "is required" : "must be an array");
            return items;
        }
        for (std::size_t i = 0; i < given->size(); ++i)
            items.push_back(item((*given)[i], "payload." + std::to_string(i)));
        return items;
    }

    std::vector<FieldError> errors;

private:
    json::value item(const json::value& given, const std::string& place)
    {
        const auto* object = given.if_object();
        if (object == nullptr) {
            fault(place, "must be an object");
            return nullptr;
        }
        json::object item;
        bool any = false;
        for (const auto service : task_services) {
            const auto* wanted = object->if_contains(service);
            const bool given_one = wanted != nullptr && !wanted->is_null();
            any = any || given_one;
            item[service] = given_one ? ids(*wanted, place + '.' + std::string(service)) : nullptr;
        }
        if (!any) fault(place, "At least one of revenue, rebates, or specialty must be provided");
        return item;
    }

    json::value ids(const json::value& given, const std::string& place)
    {
        const auto* object = given.if_object();
        if (object == nullptr) {
            fault(place, "must be an object");
            return nullptr;
        }
        return json::object{{"scenario_id", text(*object, "scenario_id", place + '.')},
                            {"business_type_id", text(*object, "business_type_id", place + '.')}};
    }

    void fault(std::string field, std::string message)
    {
        errors.push_back({std::move(field), std::move(message)});
    }
};

}  // namespace

Result<json::object> read_task_request(const json::object& body)
{
    Reader reader;
    json::object request{{"task_name", reader.text(body, "task_name", {})},
                         {"task_description", reader.text(body, "task_description", {})},
                         {"payload", reader.items(body)}};
    if (reader.errors.empty()) return request;
    const auto& first = reader.errors.front();
    return Fault{first.field + ": " + first.message, std::move(reader.errors)};
}

}  // namespace domain::workflow
