#include "fuzz/fuzz.hpp"

#include <array>
#include <charconv>
#include <cstring>
#include <fstream>

namespace fuzz {
namespace {

constexpr std::size_t city_lines_max = 64;
constexpr std::size_t depth_max = 6;

std::string blanks(Random& random)
{
    return random.one_in(4) ? random.pick<std::string>({" ", "\n", "\t", "\r\n "}) : "";
}

std::string random_double_text(Random& random)
{
    double value = 0;
    const std::uint64_t bits = random.next();
    std::memcpy(&value, &bits, sizeof value);
    std::array<char, 40> text{};
    const auto format = random.one_in(2) ? std::chars_format::scientific : std::chars_format::general;
    const auto [end, ec] = std::to_chars(text.data(), text.data() + text.size(), value, format);
    const std::string printed(text.data(), end);
    return printed.find_first_of("ni") == std::string::npos ? printed : "0.5";  // no nan, no inf
}

std::string random_number(Random& random)
{
    static const std::vector<std::string> edges{"0",
                                                "-0",
                                                "1",
                                                "-1",
                                                "0.0",
                                                "-0.0",
                                                "1.0",
                                                "1e2",
                                                "1E+2",
                                                "1e-2",
                                                "0.1",
                                                "12.50",
                                                "1e16",
                                                "1e-5",
                                                "9223372036854775807",
                                                "9223372036854775808",
                                                "-9223372036854775808",
                                                "-9223372036854775809",
                                                "18446744073709551615",
                                                "18446744073709551616",
                                                "1e308",
                                                "1.8e308",
                                                "-1e400",
                                                "1e-400",
                                                "4.9e-324",
                                                "0.30000000000000004",
                                                "123456789012345678.5",
                                                "179769313486231570000000000000000000000000.0"};
    if (random.one_in(3)) return random.pick(edges);
    if (random.one_in(2)) return random_double_text(random);
    return std::to_string(static_cast<std::int64_t>(random.next()) >> random.below(64));
}

std::string random_text(Random& random)
{
    static const std::vector<std::string> parts{"a",
                                                "Z",
                                                "0",
                                                " ",
                                                "_",
                                                "yes",
                                                "off",
                                                "12",
                                                "1_000",
                                                "None",
                                                "\\n",
                                                "\\\"",
                                                "\\\\",
                                                "\\/",
                                                "\\u0041",
                                                "\\u0000",
                                                "\\ud83d\\ude00",
                                                "\\ud800",
                                                "\\u00e4",
                                                "\xC3\xA4",
                                                "\xE2\x82\xAC",
                                                "\xF0\x9F\x98\x80",
                                                "\x7F",
                                                "'"};
    std::string text = "\"";
    for (std::size_t left = random.below(6); left > 0; --left) text += random.pick(parts);
    return text + "\"";
}

std::string random_key(Random& random)
{
    static const std::vector<std::string> keys{
        "energy",     "neighborhood", "patient_id", "heart_rate", "status", "severity", "location",
        "vehicle_id", "speed",        "delay",      "id",         "source", "type",     "specversion",
        "data",       "time",         "",           "a/b",        "a~b"};
    return random.one_in(4) ? random_text(random) : "\"" + random.pick(keys) + "\"";
}

std::string random_value(Random& random, std::size_t depth);

std::string random_list(Random& random, std::size_t depth, bool object)
{
    std::string text(1, object ? '{' : '[');
    for (std::size_t left = random.below(5); left > 0; --left) {
        text += blanks(random);
        if (object) text += random_key(random) + blanks(random) + ":" + blanks(random);
        text += random_value(random, depth + 1) + blanks(random);
        if (left > 1) text += ",";
    }
    return text + (object ? "}" : "]");
}

std::string random_value(Random& random, std::size_t depth)
{
    static const std::vector<std::string> words{"true", "false", "null"};
    switch (random.below(depth < depth_max ? 6 : 3)) {
        case 0:
            return random_number(random);
        case 1:
            return random_text(random);
        case 2:
            return random.pick(words);
        case 3:
            return random_list(random, depth, false);
        default:
            return random_list(random, depth, true);
    }
}

}  // namespace

std::string random_json(Random& random)
{
    std::string text = blanks(random) + random_value(random, 0) + blanks(random);
    if (!random.one_in(8)) return text;
    // Around the limit of 32 levels, and around the parser's own.
    const std::size_t levels = random.one_in(4) ? 250 + random.below(12) : 26 + random.below(10);
    return std::string(levels, '[') + text + std::string(levels, ']');
}

std::vector<std::string> city_event_lines()
{
    std::ifstream file(POLIS_SOURCE_DIR "/tests/data/city-events.jsonl");
    std::vector<std::string> all;
    for (std::string line; std::getline(file, line);) all.push_back(line);
    if (all.empty()) throw Failed("tests/data/city-events.jsonl cannot be read");
    std::vector<std::string> some;
    const std::size_t step = all.size() / city_lines_max + 1;
    for (std::size_t at = 0; at < all.size(); at += step) some.push_back(all[at]);
    return some;
}

std::vector<std::string> json_seeds()
{
    std::vector<std::string> seeds = city_event_lines();
    for (const char* const text : {
             "{}",
             "[]",
             "[{}, {\"a\": 1}, [], null, true, -0.5e-3, \"x\"]",
             R"({"energy": 912.9, "neighborhood": "Mitte", "a": {"b": [1, 2, {"c": null}]}})",
             R"({"a": 1, "a": 2, "\u0061": 3})",
             R"(["\ud83d\ude00", "\u0000", "\ud800", "\\\"\/\b\f\n\r\t"])",
             "[9223372036854775807, 9223372036854775808, 18446744073709551616, 1e400, 1e-400, 0.1]",
             R"({"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "data": {"energy": 1}})",
             "\xEF\xBB\xBF{}",
             "{\"a\":1}{\"b\":2}",
         }) {
        seeds.emplace_back(text);
    }
    return seeds;
}

std::vector<std::string> json_tokens()
{
    return {"{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\"",
            "\\",
            "\\u0000",
            "\\ud800",
            "true",
            "false",
            "null",
            "\"a\":",
            "{}",
            "[]",
            "1e999",
            "-",
            "0.",
            "1E+",
            "[[[[[",
            "]]]]]",
            "\"\"",
            "//",
            "/*",
            "NaN",
            "-Infinity",
            "\xC3(",
            "\n",
            "{\"a\":",
            "\"data\":",
            "\"energy\":",
            "\"patient_id\":",
            "\"severity\":\"high\""};
}

bool has_control_characters(std::string_view text)
{
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte < 0x20 || byte == 0x7F) return true;
    }
    return false;
}

}  // namespace fuzz
