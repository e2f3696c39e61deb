#include "config/option.hpp"
#include "config/rules.hpp"
#include "config/settings.hpp"
#include "fuzz/fuzz.hpp"

#include <doctest/doctest.h>

#include <map>

namespace {

using fuzz::Random;
using fuzz::require;
using namespace infra;

// What stands for every password below. No message and no shown URL may ever hold it.
constexpr std::string_view secret = "geheim";

bool holds_secret(const std::string& text) { return text.find(secret) != std::string::npos; }

void check_messages(const std::vector<std::string>& faults)
{
    for (const auto& fault : faults) {
        require(!fault.empty(), "a fault without words");
        require(!fuzz::has_control_characters(fault), "a fault that is not safe on a terminal: " + fault);
    }
}

void check_env_file(const std::string& text)
{
    const auto file = config::parse_env_file(text, ".env");
    check_messages(file.faults);
    for (const auto& fault : file.faults) {
        require(fault.starts_with(".env:"), "a fault without its place: " + fault);
        require(!holds_secret(fault), "a fault repeats its line: " + fault);
    }
    for (const auto& [name, entry] : file.entries) {
        require(!name.empty() && name.find_first_of("= #\"'\n") == std::string::npos,
                "a strange name: " + name);
        require(entry.line >= 1, "a value without its line");
    }
}

void check_yaml_file(const std::string& text)
{
    const auto file = config::parse_yaml_file(text, "polis.yaml");
    check_messages(file.faults);
    for (const auto& fault : file.faults)
        require(fault.starts_with("polis.yaml"), "a fault without its place: " + fault);
    for (const auto& setting : file.settings) require(!setting.path.empty(), "a setting without a name");
}

// The input as an environment: lines of NAME=value.
std::map<std::string, std::string> environment_of(const std::string& text)
{
    std::map<std::string, std::string> variables;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t end = std::min(text.find('\n', at), text.size());
        const std::string line = text.substr(at, end - at);
        if (const auto equals = line.find('='); equals != std::string::npos) {
            variables[line.substr(0, equals)] = line.substr(equals + 1);
        }
        at = end + 1;
    }
    return variables;
}

void check_environment(const std::string& text)
{
    auto variables = environment_of(text);
    // Files are another test's business.
    variables.erase("CONFIG_PATH");
    variables.erase("ENVFILE");
    Sources sources;
    sources.env = [&variables](const std::string& name) -> std::optional<std::string> {
        const auto found = variables.find(name);
        return found == variables.end() ? std::nullopt : std::optional(found->second);
    };
    sources.working_directory = "/nonexistent";
    for (const auto binary :
         {Binary::api, Binary::worker, Binary::migrate, Binary::consumer, Binary::propagator}) {
        const Loaded loaded = load_config(binary, sources);
        check_messages(loaded.faults);
        if (!loaded.faults.empty()) continue;
        require(!fuzz::has_control_characters(loaded.config.database.redacted_url()),
                "a URL that is not safe on a terminal");
        require(loaded.config.outbox.retry_base <= loaded.config.outbox.retry_max,
                "options that contradict each other");
    }
}

// The problem of a value that may be secret never repeats it: who shows it decides by its kind. A problem is
// about the value, or, where contracts 5.1 has the words, about the variable.
void check_rules(const std::string& text)
{
    for (const auto& option : config::options()) {
        Config config;
        const std::string problem = option.rule.store(config, text, "key");
        require(option.rule.shown == config::Shown::plain || !holds_secret(problem),
                "a problem repeats its value: " + problem);
        require(problem.empty() || problem.starts_with("must ") ||
                    problem.starts_with(std::string(option.name) + " must "),
                "a problem that is no sentence: " + problem);
    }
    require(!fuzz::has_control_characters(config::in_quotes(text)), "quotes that are not safe on a terminal");
}

std::string encoded_secret(Random& random)
{
    std::string password(secret);
    if (random.one_in(2)) return password;
    static const std::vector<std::string> around{"",  "%40", "%2F", "%3A", "%25", "%20",
                                                 "!", "$&'", "~",   "%00", ":"};
    return random.pick(around) + password + random.pick(around);
}

std::string random_url(Random& random)
{
    static const std::vector<std::string> schemes{"postgresql", "postgres", "postgresql+asyncpg",
                                                  "http",       "https",    "kafka"};
    static const std::vector<std::string> hosts{"h", "h:5432",      "a:1,b:2", "[::1]:5",
                                                "",  "%2Frun%2Fpg", "h:",      "10.0.0.1"};
    static const std::vector<std::string> parameters{"host=/run/pg",
                                                     "password=",
                                                     "sslpassword=",
                                                     "sslmode=require",
                                                     "options=-c%20x%3D1",
                                                     "pass%77ord=",
                                                     "user=u",
                                                     "port=1",
                                                     "x="};
    std::string url = random.pick(schemes) + "://";
    if (!random.one_in(4))
        url += (random.one_in(4) ? "" : "u") + std::string(":") + encoded_secret(random) + "@";
    url += random.pick(hosts) + (random.one_in(3) ? "" : "/d");
    char mark = '?';
    for (std::size_t left = random.below(4); left > 0; --left, mark = '&') {
        const std::string& parameter = random.pick(parameters);
        url += mark + parameter + (parameter.ends_with("=") ? encoded_secret(random) : "");
    }
    return url;
}

void check_url(const std::string& url)
{
    require(!holds_secret(redacted_database_url(url)), "shows a password: " + redacted_database_url(url));
    require(!holds_secret(redacted_http_url(url)), "shows a password: " + redacted_http_url(url));
    for (const auto check : {config::check_database_url, config::check_http_url, config::check_brokers}) {
        std::string text = url;
        require(!holds_secret(check(text)), "a problem shows a password: " + url);
    }
    for (const char* const name : {"DATABASE_URL", "OUTBOX_SINK", "KAFKA_BROKERS", "SCHEMA_REGISTRY_URL"}) {
        Sources sources;
        sources.env = [&](const std::string& wanted) {
            return wanted == name ? std::optional(url) : std::nullopt;
        };
        sources.working_directory = "/nonexistent";
        for (const auto& fault : load_config(Binary::worker, sources).faults) {
            require(!holds_secret(fault), "a fault shows a password: " + fault);
        }
    }
}

constexpr const char* env_seed = R"(DATABASE_URL=postgresql://u:geheim@db:5432/city
PORT=8000
LOG_LEVEL='info' # why
export HOST="::1"

# comment
OUTBOX_SINK=http://hook/x
OUTBOX_RETRY_BASE_SECONDS=0.5
KAFKA_BROKERS=a:1,b:2
ENERGY_THRESHOLD_KWH=-1.5
)";

constexpr const char* socket_seed = R"(DATABASE_URL=postgresql:///d?host=/run/pg&password=geheim
OUTBOX_RETRY_MAX_SECONDS=300
)";

constexpr const char* yaml_seed = R"(database: {url: 'postgresql://u:geheim@h/d', pool_size: 4}
http:
  port: 8000
ingest:
  services:
    health: {validation: strict}
    a.b: &x {validation: lenient}
    c: *x
rules: {dedupe_window_seconds: 300, health_emergency: {dedupe_window_seconds: 1e2}}
)";

constexpr const char* strange_yaml_seed = R"(a: [b, {c: d}, !!binary aGk=, ? e : f]
---
- |
  text
)";

fuzz::Corpus files()
{
    std::vector<std::string> tokens{"LOG_FORMAT=json\n", "[[[[[[[[", "{a: {a: {a: {a: "};
    for (const char* const word :
         {"\"", "'",     "\\", "#", "=",  "\n",  "\r\n",  "export ", "geheim", "PORT=", "HOST=",
          "{",  "[",     "]",  "}", ": ", "- ",  "&a ",   "*a",      "!!",     "<<: ",  "|\n",
          "? ", "---\n", "\t", "%", "@",  "://", "1e999", "nan",     "0x1",    "%1B",   "%0a"}) {
        tokens.emplace_back(word);
    }
    return {{env_seed, socket_seed, yaml_seed, strange_yaml_seed}, tokens};
}

}  // namespace

TEST_SUITE("fuzz/config")
{
    TEST_CASE("files are read or refused with a place, and no fault is a danger to a terminal")
    {
        fuzz::run(fuzz::mutated(files()), [](const std::string& text) {
            check_env_file(text);
            check_yaml_file(text);
        });
    }

    TEST_CASE("an environment is read or refused in words")
    {
        fuzz::run(fuzz::mutated(files()), [](const std::string& text) {
            check_environment(text);
            check_rules(text);
        });
    }

    TEST_CASE("no URL shows its password") { fuzz::run(random_url, check_url); }
}
