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

Rule url()
{
    return {"http(s) URL",
            [](Config&, std::string_view value, std::string_view) {
                std::string text(value);
                return check_http_url(text);
            },
            Shown::url};
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
        unused("urban_api.host", any_text(Shown::url), "The Urban API, for base scenarios."),
        unused("urban_api.api_token", any_text(Shown::secret), "A fixed bearer token for it."),
        unused("urban_api.auth.auth_server_url", url(), "Or the identity server that gives out tokens."),
        unused("urban_api.auth.realm", any_text(), "Its realm."),
        unused("urban_api.auth.client_id", any_text(), "The client's name there."),
        unused("urban_api.auth.client_secret", any_text(Shown::secret), "The client's password."),
        unused("urban_api.auth.scope", any_text(), "The scope that is asked for."),
        unused("urban_api.auth.request_timeout_seconds", timeout(), "Time for one request of a token."),
        unused("urban_api.auth.refresh_before_expiry_seconds", timeout(), "How early a token is replaced."),
        unused("urban_api.auth.background_refresh", flag(), "Replace it before it is asked for."),
        unused("urban_api.ping_timeout_seconds", timeout(), "Time for a ping of the Urban API."),
        unused("urban_api.operation_timeout_seconds", timeout(), "Time for one of its calls."),
    };
}

}  // namespace infra::config
