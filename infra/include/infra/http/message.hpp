#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// HTTP as handlers see it: plain values, so that no handler compiles Beast.
namespace infra::http {

struct Header {
    std::string name;
    std::string value;
};

struct Request {
    std::string method;                 // upper case, as sent
    std::string path;                   // as sent, without the query
    std::string route;                  // template of the matched route, such as "/ingest/{service}"
    std::vector<std::string> captures;  // percent-decoded values of the template's {holes}, in order
    std::vector<std::pair<std::string, std::string>> query;  // percent-decoded, in order
    std::vector<Header> headers;
    std::string body;

    // First header of that name, whatever its case; empty when absent.
    std::string_view header(std::string_view name) const;
    // Last query parameter of that name; null when absent.
    const std::string* query_value(std::string_view name) const;
};

// Gets the connection's socket, whose owner it then is, once the head of its answer has been sent. Runs on an
// io thread. When the client is gone before, or only asked for the head, it is dropped uncalled.
using TakeOver = std::function<void(int socket)>;

struct Response {
    unsigned status = 200;
    std::string content_type = "application/json";
    std::string body = {};
    std::vector<Header> headers = {};
    TakeOver take_over = {};  // set: the body has no end that is known now, and ends with the connection
};

// Answers one request. To be called exactly once, from any thread.
using Reply = std::function<void(Response)>;

// Runs on an io thread and must not block: what waits for the database hands `reply` on and returns.
using Handler = std::function<void(Request&&, Reply)>;

// RFC 9457 body whose `detail` also serves clients that read only {"detail": ...}.
Response problem(unsigned status, std::string_view detail);

// For a query parameter's name or value.
std::string percent_encoded(std::string_view text);

}  // namespace infra::http
