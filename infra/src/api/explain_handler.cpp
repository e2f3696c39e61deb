#include "api/explain_handler.hpp"

#include "api/answers.hpp"
#include "api/ingest_request.hpp"
#include "app/explain.hpp"

namespace infra::api {

http::Response explain(const app::PrepareEvent& prepare, const domain::ServiceRegistry& registry,
                       const http::Request& request)
{
    auto read = read_ingest_request(request);
    if (!read) return http::problem(422, read.error().detail);
    std::string explanations;
    for (const auto& item : read->items) {
        explanations += explanations.empty() ? "" : ",";
        explanations +=
            app::explain(prepare, registry, request.captures.at(0), item.document, item.envelope).json;
    }
    return json_text(read->batch ? R"({"results":[)" + explanations + "]}" : std::move(explanations));
}

}  // namespace infra::api
