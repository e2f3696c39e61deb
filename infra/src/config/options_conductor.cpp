#include "config/option.hpp"
#include "config/rules.hpp"

// What only files of the scenarios conductor have, and no program of this version uses: read and checked, so
// that its file serves as it is and a slip in it is found.
namespace infra::config {
namespace {

constexpr double timeout_seconds_max = 3600;

Option unused(std::string_view yaml_path, Rule rule, std::string_view help)
{
    return {.yaml_path = yaml_path,
            .default_note = "not used",
            .used_by = consumer,
            .rule = std::move(rule),
            .help = help};
}

Rule any_text(Shown shown = Shown::plain)
{
    return {"text", [](Config&, std::string_view, std::string_view) { return std::string(); }, shown};
}

Rule timeout()
{
    return seconds_by_key(0, timeout_seconds_max, [](Config&, std::string_view, Milliseconds) {});
}

Rule flag()
{
    return {"true or false", [](Config&, std::string_view value, std::string_view) -> std::string {
                return parse_boolean(value) ? "" : "must be true or false";
            }};
}

}  // namespace

std::vector<Option> conductor_options()
{
    return {
        unused("fileserver.url", any_text(Shown::url),
               "Server of the cadastre file, which Polis does not read."),
        unused("fileserver.bucket", any_text(), "Its bucket."),
        unused("fileserver.cadastre_path", any_text(), "The file's path there."),
        unused("fileserver.access_key", any_text(Shown::secret), "Its user."),
        unused("fileserver.secret_key", any_text(Shown::secret), "Its password."),
        unused("urban_api.auth.background_refresh", flag(), "Replace it before it is asked for."),
        unused("urban_api.ping_timeout_seconds", timeout(), "Time for a ping of the Urban API."),
    };
}

}  // namespace infra::config
