#pragma once

#include <string>

namespace infra::propagator {

enum class Health { healthy, unhealthy, stopped };

// GETs `url` and follows redirects. 2xx is healthy; any other answer and a timeout are final; where no
// connection comes about it tries again. Ends early once `stop_fd` can be read. `reason` says what was wrong.
Health probe_health(const std::string& url, const std::string& certificate_file, int stop_fd,
                    std::string& reason);

}  // namespace infra::propagator
