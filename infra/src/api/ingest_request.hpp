#pragma once

#include "app/ingest.hpp"
#include "infra/http/message.hpp"

#include <optional>
#include <string>
#include <vector>

namespace infra::api {

// One event of a request: its document inside of the request's body, or why there is none.
struct IngestItem {
    domain::Result<domain::JsonDocument> document;
    app::Envelope envelope = {};
};

struct IngestItems {
    std::vector<IngestItem> items;
    bool batch = false;
};

// Takes a body apart by its content type: one object, a JSON array, NDJSON, or CloudEvents in binary,
// structured or batch mode. The documents point into request.body. The headers traceparent and tracestate
// hold for every item; without them a CloudEvent may have its own.
domain::Result<IngestItems> read_ingest_request(const http::Request& request);

}  // namespace infra::api
