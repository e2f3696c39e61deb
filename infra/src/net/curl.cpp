#include "net/curl.hpp"

#include <algorithm>
#include <new>

namespace infra::net::curl {
namespace {

constexpr long redirects_max = 10;

void initialise()
{
    static const CURLcode initialised = curl_global_init(CURL_GLOBAL_DEFAULT);
    if (initialised != CURLE_OK) throw std::runtime_error(curl_easy_strerror(initialised));
}

}  // namespace

Easy new_easy()
{
    initialise();
    Easy easy(curl_easy_init());
    if (!easy) throw std::bad_alloc();
    return easy;
}

Multi new_multi()
{
    initialise();
    Multi multi(curl_multi_init());
    if (!multi) throw std::bad_alloc();
    return multi;
}

void check(CURLMcode code)
{
    if (code != CURLM_OK) throw std::runtime_error(curl_multi_strerror(code));
}

void append(Headers& headers, const char* line)
{
    curl_slist* const longer = curl_slist_append(headers.get(), line);
    if (longer == nullptr) throw std::bad_alloc();
    static_cast<void>(headers.release());
    headers.reset(longer);
}

void set_policy(CURL* easy, const char* user_agent)
{
    set(easy, CURLOPT_USERAGENT, user_agent);
    set(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    set(easy, CURLOPT_FOLLOWLOCATION, 0L);
    set(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
    set(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    set(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    // Only documented settings decide where a request goes, so http_proxy of the environment does not.
    set(easy, CURLOPT_PROXY, "");
    set(easy, CURLOPT_NOSIGNAL, 1L);
    // Without it a look-up that hangs blocks the whole loop, and its stop, until the resolver gives up.
    set(easy, CURLOPT_QUICK_EXIT, 1L);
}

void follow_redirects(CURL* easy)
{
    set(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    set(easy, CURLOPT_FOLLOWLOCATION, 1L);
    set(easy, CURLOPT_MAXREDIRS, redirects_max);
}

unsigned status_of(CURL* easy)
{
    long status = 0;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    return static_cast<unsigned>(status);
}

std::optional<std::chrono::seconds> retry_after(CURL* easy)
{
    curl_off_t wait = 0;  // 0 = not asked for; a date is converted, one in the past is negative
    curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &wait);
    if (wait <= 0) return std::nullopt;
    return std::chrono::seconds{wait};
}

void Body::attach(CURL* easy)
{
    set(easy, CURLOPT_WRITEFUNCTION, &Body::receive);
    set(easy, CURLOPT_WRITEDATA, static_cast<void*>(this));
}

void Body::reset()
{
    bytes_ = 0;
    text_.clear();
}

bool Body::answered(CURLcode code) const
{
    return code == CURLE_OK || (code == CURLE_WRITE_ERROR && bytes_ > bytes_max_);
}

std::size_t Body::receive(const char* data, std::size_t size, std::size_t count, void* self)
{
    auto& body = *static_cast<Body*>(self);
    const std::size_t bytes = size * count;
    if (body.text_.size() < body.kept_max_)
        body.text_.append(data, std::min(bytes, body.kept_max_ - body.text_.size()));
    body.bytes_ += bytes;
    return body.bytes_ <= body.bytes_max_ ? bytes : 0;
}

}  // namespace infra::net::curl
