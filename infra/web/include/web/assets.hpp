#pragma once

#include <span>
#include <string_view>

// Files that the API serves as they are, embedded at build time.
namespace web {

struct Asset {
    std::string_view path;          // as requested, such as "/docs/assets/swagger-ui.css"
    std::string_view content_type;  // with charset where it is text
    std::string_view body;
    std::string_view etag;  // strong, quoted: ready to be a header's value
};

// Sorted by path.
std::span<const Asset> assets();

// Null when there is no such file. The path must match exactly, without a query.
const Asset* find_asset(std::string_view path);

// False when the build had no npm packages; then /docs and /redoc are a page that says how to get them.
bool docs_assets_built();

// What the server must send as Content-Security-Policy.

// Swagger UI embeds its icons in data: addresses. It styles elements from JavaScript only, so inline styles
// stay forbidden.
inline constexpr std::string_view docs_content_security_policy =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

// Redoc adds style elements while it runs, and its search index is built by a worker that it starts from a
// blob: address.
inline constexpr std::string_view redoc_content_security_policy =
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; "
    "worker-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

// The console asks only this server, and styles elements from JavaScript only; texts never become markup.
inline constexpr std::string_view console_content_security_policy =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";

// Everything else is data: nothing in it may run or load, even if a browser were led to show it as a page.
inline constexpr std::string_view data_content_security_policy =
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

constexpr std::string_view content_security_policy(std::string_view path)
{
    if (path == "/docs") return docs_content_security_policy;
    if (path == "/redoc") return redoc_content_security_policy;
    if (path == "/console") return console_content_security_policy;
    return data_content_security_policy;
}

}  // namespace web
