#pragma once

#include "infra/http/message.hpp"

#include <string>
#include <string_view>

namespace infra::http {

struct ResponseFrame {
    unsigned version = 11;  // of the request; 10 is HTTP/1.0
    bool keep_alive = true;
    bool head = false;      // answer to HEAD: a length, but no body
    std::string_view date;  // IMF-fixdate
};

// Replaces `out` by the whole answer, so that it can leave in one write.
void write_response(const Response& response, const ResponseFrame& frame, std::string& out);

}  // namespace infra::http
