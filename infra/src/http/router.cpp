#include "infra/http/router.hpp"

#include "http/target.hpp"

#include <algorithm>
#include <limits>
#include <optional>
#include <stdexcept>
#include <utility>

namespace infra::http {

namespace {

constexpr std::string_view rest_hole = "{*}";
constexpr std::size_t rest_cost = 1000;  // a route that takes the rest loses against every other one

// Cuts the next segment from a path whose leading slash is gone; nothing when the path is used up.
std::optional<std::string_view> next_segment(std::optional<std::string_view>& path)
{
    if (!path) return std::nullopt;
    const std::size_t slash = path->find('/');
    const std::string_view segment = path->substr(0, slash);
    if (slash == std::string_view::npos) {
        path = std::nullopt;
    } else {
        path->remove_prefix(slash + 1);
    }
    return segment;
}

bool is_hole(std::string_view segment)
{
    return segment.size() > 2 && segment.front() == '{' && segment.back() == '}';
}

// The rest of a path as one value; nothing when it would climb or cannot be decoded.
std::optional<std::string> decode_rest(std::string_view raw)
{
    auto decoded = decode_segment(raw);
    if (!decoded) return std::nullopt;
    std::optional<std::string_view> rest(*decoded);
    while (const auto segment = next_segment(rest)) {
        if (*segment == "." || *segment == "..") return std::nullopt;
    }
    return decoded;
}

bool take(std::string_view pattern, std::string_view segment, std::vector<std::string>& captures)
{
    if (!is_hole(pattern)) {
        if (segment == pattern) return true;
        return segment.find('%') != std::string_view::npos && decode_segment(segment) == pattern;
    }
    if (segment.empty()) return false;
    auto decoded = decode_segment(segment);
    if (!decoded) return false;
    captures.push_back(std::move(*decoded));
    return true;
}

bool matches(std::string_view pattern_path, std::string_view path, std::vector<std::string>& captures)
{
    std::optional<std::string_view> patterns(pattern_path.substr(1));
    std::optional<std::string_view> segments(path.substr(1));
    while (const auto pattern = next_segment(patterns)) {
        if (*pattern == rest_hole) {
            auto rest = segments ? decode_rest(*segments) : std::nullopt;
            if (!rest) return false;
            captures.push_back(std::move(*rest));
            return true;
        }
        const auto segment = next_segment(segments);
        if (!segment || !take(*pattern, *segment, captures)) return false;
    }
    return !segments;
}

std::size_t cost(const Route& route, std::size_t captures)
{
    return captures + (route.path.ends_with(rest_hole) ? rest_cost : 0);
}

struct Lookup {
    Match best{nullptr, {}};
    std::string allow;  // methods of the routes whose path matches
};

Lookup look_up(const std::vector<Route>& routes, std::string_view method, std::string_view path)
{
    Lookup found;
    std::size_t best_cost = std::numeric_limits<std::size_t>::max();
    for (const Route& route : routes) {
        std::vector<std::string> captures;
        if (!matches(route.path, path, captures)) continue;
        if (route.method != method) {
            if (found.allow.find(route.method) != std::string::npos) continue;
            found.allow += found.allow.empty() ? "" : ", ";
            found.allow += route.method;
            continue;
        }
        const std::size_t route_cost = cost(route, captures.size());
        if (route_cost >= best_cost) continue;
        best_cost = route_cost;
        found.best = Match{&route, std::move(captures)};
    }
    return found;
}

}  // namespace

void Router::add(std::string method, std::string path, Handler handler)
{
    if (path.empty() || path.front() != '/') throw std::logic_error("a route starts with a slash");
    const bool known = std::any_of(routes_.begin(), routes_.end(), [&](const Route& route) {
        return route.method == method && route.path == path;
    });
    if (known) throw std::logic_error("this route exists already");
    routes_.push_back(Route{std::move(method), std::move(path), std::move(handler)});
}

void Router::wrap(const std::function<Handler(const Route&)>& wrapper)
{
    for (Route& route : routes_) route.handler = wrapper(route);
}

Routing Router::match(std::string_view method, std::string_view path) const
{
    if (path.empty() || path.front() != '/') return NotFound{};
    // RFC 9110 9.3.2: what can be got can be asked for without its body. The response's writer drops that.
    if (method == "HEAD") method = "GET";
    Lookup found = look_up(routes_, method, path);
    if (found.best.route != nullptr) return std::move(found.best);
    if (!found.allow.empty()) return MethodNotAllowed{std::move(found.allow)};
    if (path.size() == 1 || path.back() != '/') return NotFound{};
    path.remove_suffix(1);
    const Lookup without_slash = look_up(routes_, method, path);
    const bool known = without_slash.best.route != nullptr || !without_slash.allow.empty();
    // "//host" would send the client to another host.
    if (!known || path.starts_with("//")) return NotFound{};
    return Redirect{std::string(path)};
}

}  // namespace infra::http
