#include "config/settings.hpp"

#include <fmt/format.h>

namespace infra::config {
namespace {

constexpr std::string_view blanks = " \t\r";

std::string_view trimmed(std::string_view text)
{
    const auto first = text.find_first_not_of(blanks);
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

bool is_name(std::string_view text)
{
    if (text.empty() || (text.front() >= '0' && text.front() <= '9')) return false;
    for (const char c : text) {
        const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        // Dots and dashes are no shell names, but other programs keep such keys in the same file.
        if (!letter && !(c >= '0' && c <= '9') && c != '.' && c != '-') return false;
    }
    return true;
}

char unescaped(char c)
{
    switch (c) {
        case 'n':
            return '\n';
        case 'r':
            return '\r';
        case 't':
            return '\t';
        default:
            return c;
    }
}

struct Parsed {
    std::string value;
    const char* problem = nullptr;
};

bool is_comment_or_nothing(std::string_view rest)
{
    rest = trimmed(rest);
    return rest.empty() || rest.front() == '#';
}

// `text` begins with the quote. Single quotes are literal, double quotes know backslash escapes.
Parsed parse_quoted(std::string_view text)
{
    const char quote = text.front();
    Parsed parsed;
    for (std::size_t i = 1; i < text.size(); ++i) {
        if (text[i] == quote) {
            if (!is_comment_or_nothing(text.substr(i + 1))) parsed.problem = "text after the closing quote";
            return parsed;
        }
        const bool escape = quote == '"' && text[i] == '\\' && i + 1 < text.size();
        parsed.value += escape ? unescaped(text[++i]) : text[i];
    }
    parsed.problem = "the quote is not closed on its line";
    return parsed;
}

// A comment begins with `#` at the start or after a blank, so that a `#` inside a password is kept.
Parsed parse_bare(std::string_view text)
{
    std::size_t end = text.size();
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '#' && (i == 0 || blanks.find(text[i - 1]) != std::string_view::npos)) {
            end = i;
            break;
        }
    }
    return {std::string(trimmed(text.substr(0, end))), nullptr};
}

Parsed parse_value(std::string_view text)
{
    const auto value = trimmed(text);
    if (value.empty()) return {};
    if (value.front() == '"' || value.front() == '\'') return parse_quoted(value);
    // The blank between `=` and a comment matters, so this reads the text before trimming.
    return parse_bare(text);
}

const char* parse_line(std::string_view line, std::size_t number, EnvFile& file)
{
    static constexpr std::string_view prefix = "export";
    line = trimmed(line);
    if (line.empty() || line.front() == '#') return nullptr;
    if (line.starts_with(prefix) && line.size() > prefix.size() &&
        blanks.find(line[prefix.size()]) != std::string_view::npos) {
        line = trimmed(line.substr(prefix.size()));
    }
    const auto equals = line.find('=');
    if (equals == std::string_view::npos) return "expected KEY=VALUE";
    const auto name = trimmed(line.substr(0, equals));
    if (!is_name(name)) return "the text before = is not a variable name";
    Parsed parsed = parse_value(line.substr(equals + 1));
    if (parsed.problem != nullptr) return parsed.problem;
    file.entries.insert_or_assign(std::string(name), EnvFileEntry{std::move(parsed.value), number});
    return nullptr;
}

}  // namespace

EnvFile parse_env_file(std::string_view text, const std::string& name)
{
    EnvFile file;
    for (std::size_t number = 1; !text.empty(); ++number) {
        const auto end = text.find('\n');
        const char* const problem = parse_line(text.substr(0, end), number, file);
        if (problem != nullptr) file.faults.push_back(fmt::format("{}:{}: {}", name, number, problem));
        if (end == std::string_view::npos) break;
        text.remove_prefix(end + 1);
    }
    return file;
}

}  // namespace infra::config
