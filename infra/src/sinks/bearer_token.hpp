#pragma once

#include "infra/config/config.hpp"

#include <chrono>
#include <mutex>
#include <optional>
#include <string>

namespace infra::sinks {

// The token of an endpoint: as configured, or of OAuth2 client credentials (RFC 6749 4.4), kept until shortly
// before it expires. Neither it nor the secret is ever logged. For many threads.
class BearerToken {
public:
    explicit BearerToken(BearerConfig config) : config_(std::move(config)) {}

    // The value of the header Authorization; empty = none is wanted. Nothing when there is no token and none
    // could be got, for which it waits at most the configured timeout.
    std::optional<std::string> authorization();

    // The endpoint refused the token. True when there may be another one next time.
    bool forget();

private:
    struct Granted {
        std::string token;
        std::chrono::steady_clock::time_point expires;
    };

    std::optional<Granted> grant() const;

    const BearerConfig config_;
    std::mutex mutex_;
    std::optional<Granted> granted_;
};

}  // namespace infra::sinks
