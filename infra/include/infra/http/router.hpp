#pragma once

#include "infra/http/message.hpp"

#include <functional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace infra::http {

struct Route {
    std::string method;
    std::string
        path;  // segments, where a whole segment may be a hole: "/events/{id}"; a last "{*}" takes the rest
    Handler handler;
};

struct NotFound {};
struct MethodNotAllowed {
    std::string allow;  // value of the Allow header
};
// The path matches a route once its trailing slash is gone.
struct Redirect {
    std::string location;
};
struct Match {
    const Route* route;
    std::vector<std::string> captures;
};
using Routing = std::variant<Match, NotFound, MethodNotAllowed, Redirect>;

// A constant table after start-up; const members are safe from every thread.
class Router {
public:
    // Throws std::logic_error on a second route of the same method and path.
    void add(std::string method, std::string path, Handler handler);

    // Puts something around every handler that is there.
    void wrap(const std::function<Handler(const Route&)>& wrapper);

    // `path` is the raw path of the request target, still percent-encoded, without the query.
    Routing match(std::string_view method, std::string_view path) const;

    const std::vector<Route>& routes() const { return routes_; }

private:
    std::vector<Route> routes_;
};

}  // namespace infra::http
