#pragma once

#include "infra/http/message.hpp"

#include <optional>
#include <string>
#include <string_view>

// What the parser lets through and this server refuses, because somebody between the client and us may read
// it differently.
namespace infra::http {

struct Refusal {
    unsigned status = 400;
    std::string detail;
};

// Bytes of a header block, up to its blank line or as far as it has arrived: bare CR or LF, NUL, folded
// lines.
bool has_ambiguous_lines(std::string_view block);

struct RequestLine {
    std::string_view method;
    std::string_view target;
    unsigned version = 11;  // 10 is HTTP/1.0; Beast lets no other one through
};

std::optional<Refusal> refuse_header(const RequestLine& line, const std::vector<Header>& headers);

bool has_body(const std::vector<Header>& headers);
bool expects_continue(const RequestLine& line, const std::vector<Header>& headers);

}  // namespace infra::http
