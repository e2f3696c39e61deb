#include "sinks/bearer_token.hpp"

#include "domain/json.hpp"
#include "net/curl.hpp"

#include <boost/url/encode.hpp>
#include <boost/url/rfc/unreserved_chars.hpp>

namespace infra::sinks {
namespace {

constexpr std::size_t answer_bytes_max = std::size_t{64} * 1024;
// Where the server does not say how long a token lives (RFC 6749 5.1 only recommends that it does).
constexpr std::chrono::seconds lifetime_default{60};
constexpr std::int64_t lifetime_seconds_max = 365LL * 24 * 3600;

std::string encoded(const std::string& text)
{
    return boost::urls::encode(text, boost::urls::unreserved_chars);
}

// The body of a 200; empty on anything else.
std::string post_form(const BearerConfig& config, const std::string& form)
{
    using net::curl::set;
    const auto easy = net::curl::new_easy();
    net::curl::Body answer(answer_bytes_max, answer_bytes_max);
    const auto user = encoded(config.client_id) + ':' + encoded(config.client_secret);
    net::curl::set_policy(easy.get(), "polis");
    answer.attach(easy.get());
    set(easy.get(), CURLOPT_URL, config.token_url.c_str());
    set(easy.get(), CURLOPT_TIMEOUT_MS, static_cast<long>(config.timeout.count()));
    set(easy.get(), CURLOPT_HTTPAUTH, static_cast<long>(CURLAUTH_BASIC));
    set(easy.get(), CURLOPT_USERPWD, user.c_str());
    set(easy.get(), CURLOPT_POSTFIELDS, form.c_str());
    if (curl_easy_perform(easy.get()) != CURLE_OK || net::curl::status_of(easy.get()) != 200) return {};
    return answer.text();
}

}  // namespace

std::optional<std::string> BearerToken::authorization()
{
    if (!config_.token.empty()) return "Bearer " + config_.token;
    if (config_.token_url.empty()) return std::string();
    const std::lock_guard lock(mutex_);
    const auto now = std::chrono::steady_clock::now();
    if (!granted_ || now >= granted_->expires - config_.refresh_before) {
        // While a new one cannot be got, the old one serves as long as it lives.
        if (auto fresh = grant()) granted_ = std::move(fresh);
    }
    if (!granted_ || std::chrono::steady_clock::now() >= granted_->expires) return std::nullopt;
    return "Bearer " + granted_->token;
}

bool BearerToken::forget()
{
    const std::lock_guard lock(mutex_);
    granted_.reset();
    return config_.token.empty() && !config_.token_url.empty();
}

std::optional<BearerToken::Granted> BearerToken::grant() const
{
    const auto asked_at = std::chrono::steady_clock::now();
    auto form = std::string("grant_type=client_credentials");
    if (!config_.scope.empty()) form += "&scope=" + encoded(config_.scope);
    const auto answer = post_form(config_, form);
    const auto document = domain::parse_json(answer);
    const auto* body = document ? document->value.if_object() : nullptr;
    const auto* token = body == nullptr ? nullptr : body->if_contains("access_token");
    if (token == nullptr || !token->is_string() || token->get_string().empty()) return std::nullopt;
    const auto* lifetime = body->if_contains("expires_in");
    const bool said = lifetime != nullptr && lifetime->is_int64() && lifetime->get_int64() > 0 &&
                      lifetime->get_int64() <= lifetime_seconds_max;
    return Granted{std::string(token->get_string()),
                   asked_at + (said ? std::chrono::seconds(lifetime->get_int64()) : lifetime_default)};
}

}  // namespace infra::sinks
