#pragma once

#include "app/ports/event_log.hpp"
#include "domain/result.hpp"
#include "infra/http/message.hpp"

#include <string>
#include <vector>

namespace infra::api {

// 422 with the detail, and with `errors` where the fault names fields.
http::Response fault_response(const domain::Fault& fault);
http::Response json_text(std::string body);
http::Response metrics_text(std::string text);  // exposition format 0.0.4
http::Response alive();
http::Response ready();
// 503 with the reasons, which are ours and never a driver's text.
http::Response not_ready(const std::vector<std::string>& reasons);

// 503: nothing of the request is known to be stored.
http::Response refusal_response(app::AppendRefusal refusal);

}  // namespace infra::api
