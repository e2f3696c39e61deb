#include "http/response_text.hpp"

#include "http/names.hpp"

#include <fmt/format.h>

namespace infra::http {

namespace {

constexpr std::size_t head_bytes_usual = 256;

// A line break in a value would start a header of the client's choice.
void append_text(std::string& out, std::string_view text)
{
    for (const char c : text) {
        if (c != '\r' && c != '\n' && c != '\0') out += c;
    }
}

void append_header(std::string& out, std::string_view name, std::string_view value)
{
    append_text(out, name);
    out += ": ";
    append_text(out, value);
    out += "\r\n";
}

void append_number(std::string& out, std::size_t number)
{
    const fmt::format_int digits(number);
    out.append(digits.data(), digits.size());
}

}  // namespace

void write_response(const Response& response, const ResponseFrame& frame, std::string& out)
{
    // RFC 9110 8.6: these statuses have neither a body nor a length.
    const bool empty = response.status < 200 || response.status == 204 || response.status == 304;
    const bool endless = static_cast<bool>(response.take_over);
    out.clear();
    out.reserve(head_bytes_usual + response.body.size());
    out += "HTTP/1.1 ";
    append_number(out, response.status);
    out += ' ';
    out += reason_phrase(response.status);
    out += "\r\nDate: ";
    out += frame.date;
    out += "\r\n";
    if (!response.body.empty() || endless) append_header(out, "Content-Type", response.content_type);
    for (const Header& header : response.headers) append_header(out, header.name, header.value);
    if (!frame.keep_alive) out += "Connection: close\r\n";
    if (frame.keep_alive && frame.version < 11) out += "Connection: keep-alive\r\n";
    if (!empty && !endless) {
        out += "Content-Length: ";
        append_number(out, response.body.size());
        out += "\r\n";
    }
    out += "\r\n";
    if (!empty && !frame.head) out += response.body;
}

}  // namespace infra::http
