#include "fuzz/fuzz.hpp"

#include <algorithm>
#include <utility>

namespace fuzz {
namespace {

constexpr std::size_t input_bytes_max = 16'384;
constexpr std::size_t changes_max = 6;
constexpr std::size_t range_bytes_max = 64;
constexpr std::size_t repeats_max = 300;  // deeper than every limit of depth

const std::vector<std::string>& bytes_of_interest()
{
    static const std::vector<std::string> bytes{std::string(1, '\0'),
                                                "\x01",
                                                "\t",
                                                "\n",
                                                "\r",
                                                "\r\n",
                                                " ",
                                                "\"",
                                                "'",
                                                "\\",
                                                "/",
                                                "%",
                                                "%00",
                                                "%2f",
                                                "+",
                                                "-",
                                                ".",
                                                "..",
                                                ":",
                                                ";",
                                                ",",
                                                "=",
                                                "?",
                                                "&",
                                                "#",
                                                "@",
                                                "[",
                                                "]",
                                                "{",
                                                "}",
                                                "\x7F",
                                                "\x80",
                                                "\xBF",
                                                "\xC0",
                                                "\xC2",
                                                "\xE2\x80",
                                                "\xED\xA0\x80",
                                                "\xF0",
                                                "\xF4\x90\x80\x80",
                                                "\xFF",
                                                "\xEF\xBB\xBF",
                                                "\xC2\x85",
                                                "\xE2\x80\xA8"};
    return bytes;
}

const std::vector<std::string>& numbers_of_interest()
{
    static const std::vector<std::string> numbers{"0",
                                                  "-0",
                                                  "-1",
                                                  "1e1",
                                                  "1.0",
                                                  "007",
                                                  "65536",
                                                  "2147483648",
                                                  "9223372036854775807",
                                                  "9223372036854775808",
                                                  "-9223372036854775808",
                                                  "-9223372036854775809",
                                                  "18446744073709551615",
                                                  "18446744073709551616",
                                                  "1e308",
                                                  "1e309",
                                                  "4.9e-324",
                                                  "0.1234567890123456789",
                                                  "99999999999999999999999999999999"};
    return numbers;
}

struct Range {
    std::size_t at;
    std::size_t size;
};

Range random_range(Random& random, const std::string& text)
{
    const std::size_t at = random.below(text.size() + 1);
    return {at, std::min(random.below(range_bytes_max) + 1, text.size() - at)};
}

void replace_number(Random& random, std::string& text)
{
    const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
    const auto from = text.begin() + static_cast<std::ptrdiff_t>(random.below(text.size() + 1));
    const auto first = std::find_if(from, text.end(), is_digit);
    if (first == text.end()) return;
    const auto last = std::find_if_not(first, text.end(), is_digit);
    text.replace(first, last, random.pick(numbers_of_interest()));
}

void splice(Random& random, std::string& text, const std::string& other)
{
    const Range range = random_range(random, other);
    const std::size_t size = random.one_in(4) ? other.size() - range.at : range.size;
    text.insert(random.below(text.size() + 1), other, range.at, size);
}

void change(Random& random, std::string& text, const Corpus& corpus)
{
    const Range range = random_range(random, text);
    switch (random.below(12)) {
        case 0:
            if (range.size > 0) text[range.at] = static_cast<char>(random.next() & 0xFFU);
            break;
        case 1:
            if (range.size > 0) text[range.at] = static_cast<char>(text[range.at] ^ (1 << random.below(8)));
            break;
        case 2:
            text.erase(range.at, range.size);
            break;
        case 3:
            text.insert(random.below(text.size() + 1), text.substr(range.at, range.size));
            break;
        case 4:
            text.resize(range.at);
            break;
        case 5:
            text.insert(range.at, random.pick(bytes_of_interest()));
            break;
        case 6:
            text.replace(range.at, std::min<std::size_t>(range.size, 1), random.pick(bytes_of_interest()));
            break;
        case 7:
            replace_number(random, text);
            break;
        case 8:
            splice(random, text, random.pick(corpus.seeds));
            break;
        case 9:
            if (range.size > 0) text.insert(range.at, random.below(repeats_max) + 1, text[range.at]);
            break;
        default:
            if (!corpus.tokens.empty()) text.insert(range.at, random.pick(corpus.tokens));
            break;
    }
}

}  // namespace

Source mutated(Corpus corpus)
{
    return [corpus = std::move(corpus)](Random& random) {
        std::string text = random.pick(corpus.seeds);
        for (std::size_t left = random.below(changes_max + 1); left > 0; --left) change(random, text, corpus);
        text.resize(std::min(text.size(), input_bytes_max));
        return text;
    };
}

}  // namespace fuzz
