#include "propagator/health_probe.hpp"

#include "net/curl.hpp"

#include <array>
#include <chrono>
#include <poll.h>

namespace infra::propagator {
namespace {

using net::curl::set;

constexpr long try_timeout_ms = 10'000;
constexpr std::array<std::chrono::milliseconds, 4> waits{
    std::chrono::milliseconds{200}, std::chrono::milliseconds{500}, std::chrono::milliseconds{1000},
    std::chrono::milliseconds{1000}};

// Waits for at most that long.
bool is_stopped(int stop_fd, std::chrono::milliseconds limit)
{
    pollfd stop{.fd = stop_fd, .events = POLLIN, .revents = 0};
    return ::poll(&stop, 1, static_cast<int>(limit.count())) > 0;
}

int on_progress(void* stop_fd, curl_off_t, curl_off_t, curl_off_t, curl_off_t)
{
    return is_stopped(*static_cast<int*>(stop_fd), std::chrono::milliseconds{0}) ? 1 : 0;
}

// However long it is: the probe asks for the status, and its time is limited.
std::size_t ignore_body(char*, std::size_t size, std::size_t count, void*) { return size * count; }

net::curl::Easy make_request(const std::string& url, const std::string& certificate_file, int& stop_fd)
{
    net::curl::Easy easy = net::curl::new_easy();
    net::curl::set_policy(easy.get(), "polis-propagator");
    net::curl::follow_redirects(easy.get());
    set(easy.get(), CURLOPT_URL, url.c_str());
    set(easy.get(), CURLOPT_TIMEOUT_MS, try_timeout_ms);
    set(easy.get(), CURLOPT_WRITEFUNCTION, &ignore_body);
    set(easy.get(), CURLOPT_NOPROGRESS, 0L);
    set(easy.get(), CURLOPT_XFERINFOFUNCTION, &on_progress);
    set(easy.get(), CURLOPT_XFERINFODATA, static_cast<void*>(&stop_fd));
    if (!certificate_file.empty()) set(easy.get(), CURLOPT_CAINFO, certificate_file.c_str());
    return easy;
}

}  // namespace

Health probe_health(const std::string& url, const std::string& certificate_file, int stop_fd,
                    std::string& reason)
{
    const auto easy = make_request(url, certificate_file, stop_fd);
    for (std::size_t failed = 0;; ++failed) {
        const CURLcode code = curl_easy_perform(easy.get());
        if (code == CURLE_OK) {
            const unsigned status = net::curl::status_of(easy.get());
            reason = "HTTP " + std::to_string(status);
            return status >= 200 && status <= 299 ? Health::healthy : Health::unhealthy;
        }
        reason = curl_easy_strerror(code);
        if (code == CURLE_ABORTED_BY_CALLBACK) return Health::stopped;
        if (code == CURLE_OPERATION_TIMEDOUT || failed == waits.size()) return Health::unhealthy;
        if (is_stopped(stop_fd, waits[failed])) return Health::stopped;
    }
}

}  // namespace infra::propagator
