#include "http/guard.hpp"

#include "http/names.hpp"

#include <algorithm>

namespace infra::http {

namespace {

struct Field {
    std::size_t count = 0;
    std::string_view value;
};

Field find(const std::vector<Header>& headers, std::string_view name)
{
    Field field;
    for (const Header& header : headers) {
        if (!same_name(header.name, name)) continue;
        ++field.count;
        field.value = header.value;
    }
    return field;
}

std::optional<Refusal> refuse_framing(unsigned version, const std::vector<Header>& headers)
{
    const Field encoding = find(headers, "transfer-encoding");
    if (encoding.count == 0) return std::nullopt;
    if (version < 11) return Refusal{400, "HTTP/1.0 has no Transfer-Encoding."};
    if (encoding.count != 1 || !same_name(encoding.value, "chunked")) {
        return Refusal{400, "The only supported Transfer-Encoding is chunked."};
    }
    if (find(headers, "content-length").count != 0) {
        return Refusal{400, "Content-Length and Transfer-Encoding exclude each other."};
    }
    return std::nullopt;
}

bool is_digits(std::string_view text)
{
    return !text.empty() &&
           std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

bool has_ambiguous_lines(std::string_view block)
{
    if (block.find('\0') != std::string_view::npos) return true;
    for (std::size_t at = block.find('\n'); at != std::string_view::npos; at = block.find('\n', at + 1)) {
        if (at == 0 || block[at - 1] != '\r') return true;
        if (at + 1 < block.size() && (block[at + 1] == ' ' || block[at + 1] == '\t')) return true;
    }
    for (std::size_t at = block.find('\r'); at != std::string_view::npos; at = block.find('\r', at + 1)) {
        if (at + 1 < block.size() && block[at + 1] != '\n') return true;
    }
    return false;
}

std::optional<Refusal> refuse_header(const RequestLine& line, const std::vector<Header>& headers)
{
    if (!line.target.starts_with('/')) return Refusal{400, "The request target must be a path."};
    if (auto refusal = refuse_framing(line.version, headers)) return refusal;
    const Field length = find(headers, "content-length");
    if (length.count > 1 || (length.count == 1 && !is_digits(length.value))) {
        return Refusal{400, "Content-Length must be one number."};
    }
    const std::size_t hosts = find(headers, "host").count;
    if (hosts > 1 || (hosts == 0 && line.version == 11)) return Refusal{400, "Exactly one Host is needed."};
    if ((line.method == "GET" || line.method == "HEAD") && has_body(headers)) {
        return Refusal{400, "This method takes no body."};
    }
    const Field expect = find(headers, "expect");
    if (line.version == 11 && expect.count != 0 && !same_name(expect.value, "100-continue")) {
        return Refusal{417, "The only supported expectation is 100-continue."};
    }
    return std::nullopt;
}

bool has_body(const std::vector<Header>& headers)
{
    if (find(headers, "transfer-encoding").count != 0) return true;
    const std::string_view length = find(headers, "content-length").value;
    return length.find_first_not_of('0') != std::string_view::npos;
}

bool expects_continue(const RequestLine& line, const std::vector<Header>& headers)
{
    return line.version == 11 && find(headers, "expect").count != 0 && has_body(headers);
}

}  // namespace infra::http
