#include "api/answers.hpp"

#include "api/with_session.hpp"
#include "app/ingest.hpp"

#include <boost/json.hpp>

namespace infra::api {

http::Response fault_response(const domain::Fault& fault)
{
    auto response = http::problem(422, fault.detail);
    if (fault.fields.empty()) return response;
    auto body = boost::json::parse(response.body).as_object();
    body["errors"] = boost::json::parse(app::field_errors_json(fault.fields));
    response.body = boost::json::serialize(body);
    return response;
}

http::Response database_unavailable()
{
    auto response = http::problem(503, "The database is not available. Try again.");
    response.headers.push_back({"Retry-After", "1"});
    return response;
}

http::Response json_text(std::string body)
{
    http::Response response;
    response.body = std::move(body);
    return response;
}

http::Response metrics_text(std::string text)
{
    auto response = json_text(std::move(text));
    response.content_type = "text/plain; version=0.0.4; charset=utf-8";
    return response;
}

http::Response alive() { return json_text(R"({"status":"ok"})"); }

http::Response ready() { return json_text(R"({"status":"ready"})"); }

http::Response not_ready(const std::vector<std::string>& reasons)
{
    const boost::json::object body{{"status", "not ready"}, {"reasons", boost::json::value_from(reasons)}};
    auto response = json_text(boost::json::serialize(body));
    response.status = 503;
    return response;
}

http::Response refusal_response(app::AppendRefusal refusal)
{
    const char* detail = "";
    switch (refusal) {
        case app::AppendRefusal::queue_full:
            detail = "Too much is waiting to be stored; nothing of this request was. Try again.";
            break;
        case app::AppendRefusal::unavailable:
        case app::AppendRefusal::superseded:  // these two only ever answer a stream
        case app::AppendRefusal::poison:
            detail = "The database is not available; nothing was stored. Try again.";
            break;
        case app::AppendRefusal::outcome_unknown:
            detail =
                "The connection to the database was lost; it is not known whether this was stored. Repeat it "
                "with its dedupe key.";
            break;
        case app::AppendRefusal::stopping:
            detail = "The service is stopping; nothing was stored. Try again.";
            break;
    }
    auto response = http::problem(503, detail);
    response.headers.push_back({"Retry-After", "1"});
    return response;
}

}  // namespace infra::api
