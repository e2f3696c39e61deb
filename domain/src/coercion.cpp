#include "domain/coercion.hpp"

#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <string_view>

namespace domain {
namespace {

namespace json = boost::json;

std::string_view trimmed(std::string_view text)
{
    constexpr std::string_view blanks = " \t\n\r\f\v";
    const auto first = text.find_first_not_of(blanks);
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// The text without the single underscores that may stand between two digits; empty when one stands elsewhere.
std::optional<std::string> without_underscores(std::string_view text)
{
    std::string plain;
    plain.reserve(text.size());
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '_') {
            plain.push_back(text[i]);
            continue;
        }
        if (i == 0 || i + 1 == text.size() || !is_digit(text[i - 1]) || !is_digit(text[i + 1]))
            return std::nullopt;
    }
    return plain;
}

// from_chars reads a minus itself but no plus. False where nothing, or a second sign, is left.
bool drop_plus(std::string_view& number)
{
    if (!number.starts_with('+')) return !number.empty();
    number.remove_prefix(1);
    return !number.empty() && number.front() != '+' && number.front() != '-';
}

template <class Number>
std::optional<Number> whole_number(std::string_view text)
{
    Number value{};
    const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (ec != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return value;
}

std::optional<json::value> integer_of_digits(std::string_view digits)
{
    if (const auto small = whole_number<std::int64_t>(digits)) return json::value(*small);
    if (const auto large = whole_number<std::uint64_t>(digits)) return json::value(*large);
    return std::nullopt;
}

std::optional<json::value> integer_of_double(double value)
{
    // The bounds are exact doubles; the upper one is the first that no longer fits.
    constexpr double lowest = -9223372036854775808.0;
    constexpr double beyond = 9223372036854775808.0;
    if (std::trunc(value) != value || value < lowest || value >= beyond) return std::nullopt;
    return json::value(static_cast<std::int64_t>(value));
}

std::optional<json::value> integer_of_text(std::string_view raw)
{
    auto plain = without_underscores(trimmed(raw));
    if (!plain) return std::nullopt;
    std::string_view digits = *plain;
    if (!drop_plus(digits)) return std::nullopt;
    if (const auto point = digits.find('.'); point != std::string_view::npos) {
        const auto zeros = digits.substr(point + 1);
        if (zeros.empty() || zeros.find_first_not_of('0') != std::string_view::npos) return std::nullopt;
        digits = digits.substr(0, point);
    }
    return integer_of_digits(digits);
}

std::optional<json::value> real_of_text(std::string_view raw)
{
    auto plain = without_underscores(trimmed(raw));
    if (!plain) return std::nullopt;
    std::string_view number = *plain;
    if (!drop_plus(number)) return std::nullopt;
    if (!(is_digit(number.front()) || number.front() == '-' || number.front() == '.')) {
        return std::nullopt;
    }
    const auto value = whole_number<double>(number);
    if (!value || !std::isfinite(*value)) return std::nullopt;
    return json::value(*value);
}

std::optional<json::value> boolean_of_text(std::string_view raw)
{
    std::string word(raw);
    std::transform(word.begin(), word.end(), word.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; });
    constexpr std::array<std::string_view, 6> no = {"0", "off", "f", "false", "n", "no"};
    constexpr std::array<std::string_view, 6> yes = {"1", "on", "t", "true", "y", "yes"};
    if (std::find(no.begin(), no.end(), word) != no.end()) return json::value(false);
    if (std::find(yes.begin(), yes.end(), word) != yes.end()) return json::value(true);
    return std::nullopt;
}

std::optional<json::value> to_integer(const json::value& value)
{
    switch (value.kind()) {
        case json::kind::int64:
        case json::kind::uint64:
            return value;
        case json::kind::double_:
            return integer_of_double(value.get_double());
        case json::kind::bool_:
            return json::value(static_cast<std::int64_t>(value.get_bool()));
        case json::kind::string:
            return integer_of_text(value.get_string());
        case json::kind::null:
        case json::kind::array:
        case json::kind::object:
            break;
    }
    return std::nullopt;
}

std::optional<json::value> to_real(const json::value& value)
{
    switch (value.kind()) {
        case json::kind::int64:
            return json::value(static_cast<double>(value.get_int64()));
        case json::kind::uint64:
            return json::value(static_cast<double>(value.get_uint64()));
        case json::kind::double_:
            return value;
        case json::kind::bool_:
            return json::value(value.get_bool() ? 1.0 : 0.0);
        case json::kind::string:
            return real_of_text(value.get_string());
        case json::kind::null:
        case json::kind::array:
        case json::kind::object:
            break;
    }
    return std::nullopt;
}

std::optional<json::value> boolean_of_number(double value)
{
    if (value != 0.0 && value != 1.0) return std::nullopt;
    return json::value(value == 1.0);
}

std::optional<json::value> to_boolean(const json::value& value)
{
    switch (value.kind()) {
        case json::kind::bool_:
            return value;
        case json::kind::int64:
            return boolean_of_number(static_cast<double>(value.get_int64()));
        case json::kind::uint64:
            return boolean_of_number(static_cast<double>(value.get_uint64()));
        case json::kind::double_:
            return boolean_of_number(value.get_double());
        case json::kind::string:
            return boolean_of_text(value.get_string());
        case json::kind::null:
        case json::kind::array:
        case json::kind::object:
            break;
    }
    return std::nullopt;
}

std::string python_real(double value)
{
    // Python's repr: the shortest digits that read back, with an exponent below 1e-4 and from 1e16 on.
    const double size = std::abs(value);
    if (size != 0.0 && (size < 1e-4 || size >= 1e16)) {
        std::array<char, 40> text{};
        const auto [end, ec] =
            std::to_chars(text.data(), text.data() + text.size(), value, std::chars_format::scientific);
        return {text.data(), end};
    }
    std::array<char, 400> text{};
    const auto [end, ec] =
        std::to_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
    std::string printed(text.data(), end);
    if (printed.find('.') == std::string::npos) printed += ".0";
    return printed;
}

void append_escaped(std::string& out, char c, char quote)
{
    constexpr char del = 0x7F;
    if (c == '\n') {
        out += "\\n";
    } else if (c == '\r') {
        out += "\\r";
    } else if (c == '\t') {
        out += "\\t";
    } else if (static_cast<unsigned char>(c) < ' ' || c == del) {
        out += fmt::format("\\x{:02x}", static_cast<int>(c));
    } else {
        if (c == quote || c == '\\') out.push_back('\\');
        out.push_back(c);
    }
}

std::string python_repr(const json::value& value)
{
    if (!value.is_string()) return python_text(value);
    const std::string_view text = value.get_string();
    const bool single = text.find('\'') == std::string_view::npos || text.find('"') != std::string_view::npos;
    const char quote = single ? '\'' : '"';
    std::string out(1, quote);
    for (const char c : text) append_escaped(out, c, quote);
    out.push_back(quote);
    return out;
}

}  // namespace

std::optional<json::value> coerce(const json::value& value, FieldType type)
{
    switch (type) {
        case FieldType::integer:
            return to_integer(value);
        case FieldType::real:
            return to_real(value);
        case FieldType::boolean:
            return to_boolean(value);
        case FieldType::text:
            return value.is_string() ? std::optional(value) : std::nullopt;
    }
    return std::nullopt;
}

const char* expectation(FieldType type)
{
    switch (type) {
        case FieldType::integer:
            return "must be an integer";
        case FieldType::real:
            return "must be a number";
        case FieldType::boolean:
            return "must be true or false";
        case FieldType::text:
            return "must be a string";
    }
    return "";
}

std::string python_text(const json::value& value)
{
    switch (value.kind()) {
        case json::kind::null:
            return "None";
        case json::kind::bool_:
            return value.get_bool() ? "True" : "False";
        case json::kind::int64:
            return fmt::format("{}", value.get_int64());
        case json::kind::uint64:
            return fmt::format("{}", value.get_uint64());
        case json::kind::double_:
            return python_real(value.get_double());
        case json::kind::string:
            return std::string(value.get_string());
        case json::kind::array: {
            std::string out = "[";
            for (const auto& item : value.get_array())
                out += (out.size() > 1 ? ", " : "") + python_repr(item);
            return out + "]";
        }
        case json::kind::object: {
            std::string out = "{";
            for (const auto& member : value.get_object()) {
                out += (out.size() > 1 ? ", " : "") + python_repr(json::value(member.key())) + ": " +
                       python_repr(member.value());
            }
            return out + "}";
        }
    }
    return {};
}

std::string json_text(const json::value& value)
{
    if (value.is_double()) return python_real(value.get_double());
    if (const auto* array = value.if_array()) {
        std::string out = "[";
        for (const auto& item : *array) out.append(out.size() > 1 ? "," : "").append(json_text(item));
        return out + "]";
    }
    if (const auto* object = value.if_object()) {
        std::string out = "{";
        for (const auto& member : *object) {
            out.append(out.size() > 1 ? "," : "")
                .append(json::serialize(member.key()))
                .append(":")
                .append(json_text(member.value()));
        }
        return out + "}";
    }
    return json::serialize(value);
}

}  // namespace domain
