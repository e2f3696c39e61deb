#include "fuzz/fuzz.hpp"
#include "http/guard.hpp"
#include "http/names.hpp"
#include "http/target.hpp"
#include "infra/http/router.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <set>

namespace {

using fuzz::require;
using namespace infra::http;

constexpr std::string_view hex_digits = "0123456789abcdef";

// Percent-decoding as RFC 3986 has it, written a second time.
std::optional<std::string> decoded(std::string_view raw, bool plus_is_space)
{
    std::string text;
    for (std::size_t at = 0; at < raw.size(); ++at) {
        if (raw[at] == '+' && plus_is_space) {
            text += ' ';
        } else if (raw[at] != '%') {
            text += raw[at];
        } else {
            if (at + 2 >= raw.size()) return std::nullopt;
            const auto lower = [](char c) { return c >= 'A' && c <= 'F' ? static_cast<char>(c | 0x20) : c; };
            const auto high = hex_digits.find(lower(raw[at + 1]));
            const auto low = hex_digits.find(lower(raw[at + 2]));
            if (high == std::string_view::npos || low == std::string_view::npos) return std::nullopt;
            text += static_cast<char>(high * 16 + low);
            at += 2;
        }
    }
    return text;
}

void check_query(const std::string& text)
{
    const auto query = decode_query(text);
    if (!query) return;
    std::string encoded;
    for (const auto& [name, value] : *query) {
        encoded += (encoded.empty() ? "" : "&") + percent_encoded(name) + "=" + percent_encoded(value);
    }
    require(decode_query(encoded) == query, "a query does not survive its encoding: " + encoded);
}

const Router& router()
{
    static const Router routes = [] {
        Router made;
        for (const char* const path : {"/", "/ingest/{service}", "/events", "/events/{id}", "/events/latest",
                                       "/docs/{*}", "/a/{x}/b/{y}"}) {
            made.add("GET", path, {});
        }
        made.add("POST", "/ingest/{service}", {});
        return made;
    }();
    return routes;
}

void check_routing(const std::string& method, const std::string& path)
{
    const Routing routing = router().match(method, path);
    if (const auto* match = std::get_if<Match>(&routing)) {
        const auto holes =
            static_cast<std::size_t>(std::count(match->route->path.begin(), match->route->path.end(), '{'));
        require(match->captures.size() == holes, "not one capture a hole");
        require(match->route->method == method, "a route of another method");
        if (match->route->path == "/docs/{*}") {
            const std::string& rest = match->captures.front();
            require(("/" + rest + "/").find("/../") == std::string::npos, "a path that climbs: " + rest);
        }
    } else if (const auto* redirect = std::get_if<Redirect>(&routing)) {
        require(redirect->location + "/" == path, "a redirect to elsewhere: " + redirect->location);
        require(!redirect->location.starts_with("//"), "a redirect to another host: " + redirect->location);
    } else if (const auto* other = std::get_if<MethodNotAllowed>(&routing)) {
        require(!other->allow.empty() && other->allow.find(method) == std::string::npos,
                "a wrong Allow: " + other->allow);
    }
}

void check_target(const std::string& target)
{
    const auto segment = decode_segment(target);
    require(segment == decoded(target, false), "decode_segment() differs from RFC 3986");
    if (segment)
        require(decode_segment(percent_encoded(*segment)) == segment,
                "a segment does not survive its encoding");
    const std::size_t mark = std::min(target.find('?'), target.size());
    check_query(target.substr(std::min(mark + 1, target.size())));
    for (const char* const method : {"GET", "POST", "DELETE"}) check_routing(method, target.substr(0, mark));
}

std::vector<Header> headers_of(const std::string& block)
{
    std::vector<Header> headers;
    for (std::size_t at = 0; at < block.size();) {
        const std::size_t end = std::min(block.find("\r\n", at), block.size());
        const std::string line = block.substr(at, end - at);
        const std::size_t colon = std::min(line.find(':'), line.size());
        const std::size_t value = std::min(line.find_first_not_of(' ', colon + 1), line.size());
        headers.push_back({line.substr(0, colon), line.substr(std::max(value, colon))});
        at = end + 2;
    }
    return headers;
}

std::multiset<std::string> values_of(const std::vector<Header>& headers, std::string_view name)
{
    std::multiset<std::string> values;
    for (const auto& header : headers) {
        if (same_name(header.name, name)) values.insert(header.value);
    }
    return values;
}

// What a server may read in two ways is never let through, whatever else stands beside it.
void check_headers(const std::string& block)
{
    const auto headers = headers_of(block);
    for (const unsigned version : {10U, 11U}) {
        const RequestLine line{"POST", "/ingest/energy", version};
        const auto refusal = refuse_header(line, headers);
        if (refusal) {
            require(refusal->status >= 400 && refusal->status < 500 && !refusal->detail.empty(),
                    "a refusal without words");
            continue;
        }
        const auto lengths = values_of(headers, "Content-Length");
        const auto encodings = values_of(headers, "transfer-encoding");
        require(lengths.size() + encodings.size() <= 1, "two ways to tell the length of the body");
        require(lengths.empty() || lengths.begin()->find_first_not_of("0123456789") == std::string::npos,
                "a length of words");
        require(encodings.empty() || (version == 11 && same_name(*encodings.begin(), "chunked")),
                "a strange encoding");
        const auto hosts = values_of(headers, "host").size();
        require(hosts == 1 || (hosts == 0 && version == 10), "not one Host");
        require(!expects_continue(line, headers) || has_body(headers), "waits for no body");
    }
}

void check_lines(const std::string& block)
{
    std::string rest = block;
    for (std::size_t at = rest.find("\r\n"); at != std::string::npos; at = rest.find("\r\n", at))
        rest.erase(at, 2);
    const bool stray = rest.find('\n') != std::string::npos || rest.find('\0') != std::string::npos;
    if (stray && block.find("\r\r\n\n") == std::string::npos) {
        require(has_ambiguous_lines(block), "a stray line end or NUL is let through");
    }
    for (const char* const fold : {"\r\n ", "\r\n\t"}) {
        if (block.find(fold) != std::string::npos)
            require(has_ambiguous_lines(block), "a folded line is let through");
    }
}

std::vector<std::string> target_seeds()
{
    return {"/",
            "/events?limit=10&offset=5&service=energy",
            "/ingest/energy",
            "/ingest/%65nergy/",
            "/ingest/a%2Fb",
            "/events/0191d7a8-7c00-7000-8000-000000000000",
            "/docs/swagger/index.html",
            "/docs/%2e%2e/%2E./secret",
            "//evil.example/",
            "/a/1/b/2/",
            "/events/?since=2026-11-21T04%3A00%3A00%2B01%3A00&until=x+y",
            "/ingest/\xC3\xA4%00%ff"};
}

std::vector<std::string> header_seeds()
{
    return {"Host: a\r\nContent-Length: 5\r\nContent-Type: application/json\r\n",
            "Host: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n",
            "Host: a\r\nTransfer-Encoding: gzip, chunked\r\n",
            "Host: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n",
            "Host: a\r\nContent-Length: +5\r\n",
            "Host: a\r\nHost: b\r\n",
            "Host: a\r\nX: y\r\n folded\r\n",
            "Host : a\r\ntransfer-encoding:chunked\r\ncontent-length:0\r\n"};
}

}  // namespace

TEST_SUITE("fuzz/http")
{
    TEST_CASE("targets are decoded as RFC 3986 says, and never lead to another place")
    {
        fuzz::run(fuzz::mutated({target_seeds(),
                                 {"%2f", "%2e%2e", "/../", "//", "%", "%0", "%zz", "+", "&", "=", "{*}"}}),
                  check_target);
    }

    TEST_CASE("headers that can be read in two ways are refused")
    {
        const std::vector<std::string> tokens{"\r\n",
                                              "Host: b\r\n",
                                              "Content-Length: 1\r\n",
                                              "Transfer-Encoding: chunked\r\n",
                                              "Transfer-Encoding: identity\r\n",
                                              "Expect: x\r\n",
                                              " ",
                                              "\t",
                                              "0"};
        fuzz::run(fuzz::mutated({header_seeds(), tokens}), [](const std::string& block) {
            check_lines(block);
            check_headers(block);
        });
    }
}
