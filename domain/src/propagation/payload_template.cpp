#include "domain/propagation/payload_template.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <charconv>
#include <iterator>
#include <limits>
#include <optional>
#include <utility>

namespace domain::propagation {
namespace {

constexpr std::string_view opening = "{{";
constexpr std::string_view closing = "}}";
constexpr std::string_view blanks = " \t";
constexpr unsigned decimals_max = 9;

std::string_view trimmed(std::string_view text)
{
    const auto first = text.find_first_not_of(blanks);
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

// Splits off the first word.
std::pair<std::string_view, std::string_view> head_and_rest(std::string_view text)
{
    const auto end = std::min(text.find_first_of(blanks), text.size());
    return {text.substr(0, end), trimmed(text.substr(end))};
}

std::optional<std::int64_t> whole_number(std::string_view text)
{
    std::int64_t value = 0;
    const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || stop != text.data() + text.size()) return std::nullopt;
    return value;
}

unsigned decimals_of(std::string_view number)
{
    const auto point = number.find('.');
    return point == std::string_view::npos ? 0 : static_cast<unsigned>(number.size() - point - 1);
}

// "2.5" with 3 decimals is 2500: bounds are exact, whatever doubles would make of them.
std::optional<std::int64_t> in_units(std::string_view number, unsigned decimals)
{
    const unsigned own = decimals_of(number);
    if (own > decimals || number.ends_with('.')) return std::nullopt;
    std::string digits(number);
    std::erase(digits, '.');
    digits.append(decimals - own, '0');
    return whole_number(digits);
}

Fault malformed(std::string_view placeholder)
{
    return {fmt::format(
        "the placeholder {{{{{}}}}} is not one of {{{{counter [FIRST]}}}}, {{{{random LOW HIGH}}}}, "
        "{{{{uuid}}}}, {{{{now}}}}, {{{{pick A|B|...}}}}",
        placeholder.substr(0, 60))};
}

bool is_key(std::string_view after_quote)
{
    const auto next = after_quote.find_first_not_of(" \t\r\n");
    return next != std::string_view::npos && after_quote[next] == ':';
}

// True where the placeholder at [begin, end) is the whole of a string that is a value.
bool fills_a_string(std::string_view json, std::size_t begin, std::size_t end)
{
    const bool opens = begin >= 2 && json[begin - 1] == '"' && json[begin - 2] != '\\';
    return opens && end < json.size() && json[end] == '"' && !is_key(json.substr(end + 1));
}

void write_decimal(std::string& out, std::int64_t units, unsigned decimals)
{
    std::string digits = fmt::format(
        "{:0{}}", units < 0 ? 0 - static_cast<std::uint64_t>(units) : static_cast<std::uint64_t>(units),
        decimals + 1);
    if (decimals > 0) digits.insert(digits.size() - decimals, 1, '.');
    if (units < 0) out += '-';
    out += digits;
}

template <class... Visitors>
struct Overloaded : Visitors... {
    using Visitors::operator()...;
};
template <class... Visitors>
Overloaded(Visitors...) -> Overloaded<Visitors...>;

}  // namespace

std::uint64_t random_below(const RandomBits& bits, std::uint64_t bound)
{
    // The last, incomplete round of bounds is thrown away: a plain remainder would prefer small numbers.
    const std::uint64_t limit = std::numeric_limits<std::uint64_t>::max() / bound * bound;
    std::uint64_t drawn = bits();
    while (drawn >= limit) drawn = bits();
    return drawn % bound;
}

Uuid random_uuid(const RandomBits& bits)
{
    Uuid id{};
    for (std::size_t half = 0; half < 2; ++half) {
        std::uint64_t drawn = bits();
        for (std::size_t i = 0; i < 8; ++i, drawn >>= 8U)
            id.data[half * 8 + i] = static_cast<std::uint8_t>(drawn);
    }
    id.data[6] = static_cast<std::uint8_t>((id.data[6] & 0x0FU) | 0x40U);
    id.data[8] = static_cast<std::uint8_t>((id.data[8] & 0x3FU) | 0x80U);
    return id;
}

Result<PayloadTemplate::Placeholder> PayloadTemplate::read_random(std::string_view arguments)
{
    const auto [low_text, high_text] = head_and_rest(arguments);
    const unsigned decimals = std::max(decimals_of(low_text), decimals_of(high_text));
    if (decimals > decimals_max) return malformed(arguments);
    const auto low = in_units(low_text, decimals);
    const auto high = in_units(high_text, decimals);
    // A range of all 64-bit numbers would have no room for its own size.
    constexpr std::int64_t bound_max = std::numeric_limits<std::int64_t>::max() / 2;
    if (!low || !high || *low > *high || *low < -bound_max || *high > bound_max) return malformed(arguments);
    return Placeholder(RandomNumber{*low, static_cast<std::uint64_t>(*high - *low) + 1, decimals});
}

Result<PayloadTemplate::Placeholder> PayloadTemplate::read_pick(std::string_view arguments)
{
    Pick pick;
    for (;;) {
        const auto bar = arguments.find('|');
        pick.choices.emplace_back(trimmed(arguments.substr(0, bar)));
        if (bar == std::string_view::npos) return Placeholder(std::move(pick));
        arguments.remove_prefix(bar + 1);
    }
}

Result<PayloadTemplate::Placeholder> PayloadTemplate::read_placeholder(std::string_view text)
{
    const auto [name, arguments] = head_and_rest(trimmed(text));
    if (text.find('"') != std::string_view::npos) return malformed("...");
    if (name == "uuid" && arguments.empty()) return Placeholder(RandomId{});
    if (name == "now" && arguments.empty()) return Placeholder(Now{});
    if (name == "pick" && !arguments.empty()) return read_pick(arguments);
    if (name == "counter") {
        const auto first = arguments.empty() ? std::optional<std::int64_t>(1) : whole_number(arguments);
        if (first) return Placeholder(Counter{*first});
    }
    if (name == "random") {
        if (auto number = read_random(arguments)) return number;
    }
    return malformed(text);
}

Result<PayloadTemplate> PayloadTemplate::compile(std::string_view json)
{
    PayloadTemplate compiled;
    std::size_t from = 0;
    for (auto begin = json.find(opening); begin != std::string_view::npos; begin = json.find(opening, from)) {
        const auto inside = begin + opening.size();
        const auto close = json.find(closing, inside);
        if (close == std::string_view::npos)
            return malformed(json.substr(inside, json.find('"', inside) - inside));
        auto placeholder = read_placeholder(json.substr(inside, close - inside));
        if (!placeholder) return placeholder.error();
        auto end = close + closing.size();
        const bool number = std::holds_alternative<Counter>(*placeholder) ||
                            std::holds_alternative<RandomNumber>(*placeholder);
        if (number && fills_a_string(json, begin, end)) {
            --begin;
            ++end;
        }
        compiled.pieces_.push_back({std::string(json.substr(from, begin - from)), std::move(*placeholder)});
        from = end;
    }
    compiled.rest_ = std::make_shared<const std::string>(json.substr(from));
    return compiled;
}

PayloadTemplate PayloadTemplate::verbatim(std::string_view json)
{
    PayloadTemplate plain;
    plain.rest_ = std::make_shared<const std::string>(json);
    return plain;
}

void PayloadTemplate::write(std::string& out, const Placeholder& placeholder, std::uint64_t count,
                            TimePoint now, const RandomBits& bits)
{
    std::visit(
        Overloaded{[&](const Counter& counter) {
                       // Unsigned, so that a counter that passes the largest number starts over.
                       const auto value = static_cast<std::uint64_t>(counter.first) + count;
                       fmt::format_to(std::back_inserter(out), "{}", static_cast<std::int64_t>(value));
                   },
                   [&](const RandomNumber& number) {
                       const auto drawn = static_cast<std::int64_t>(random_below(bits, number.values));
                       write_decimal(out, number.low + drawn, number.decimals);
                   },
                   [&](const RandomId&) { out += to_string(random_uuid(bits)); },
                   [&](const Now&) { out += format_time(now); },
                   [&](const Pick& pick) { out += pick.choices[random_below(bits, pick.choices.size())]; }},
        placeholder);
}

std::shared_ptr<const std::string> PayloadTemplate::render(std::uint64_t count, TimePoint now,
                                                           const RandomBits& bits) const
{
    if (pieces_.empty()) return rest_;
    auto text = std::make_shared<std::string>();
    for (const auto& piece : pieces_) {
        *text += piece.before;
        write(*text, piece.placeholder, count, now, bits);
    }
    *text += *rest_;
    return text;
}

PayloadSource::PayloadSource(std::vector<PayloadTemplate> payloads, PayloadOrder order, RandomBits bits)
    : payloads_(std::move(payloads)), order_(order), bits_(std::move(bits))
{
    assert(!payloads_.empty());
}

std::shared_ptr<const std::string> PayloadSource::next(TimePoint now)
{
    const std::uint64_t count = count_++;
    const auto index =
        order_ == PayloadOrder::random ? random_below(bits_, payloads_.size()) : count % payloads_.size();
    return payloads_[index].render(count, now, bits_);
}

}  // namespace domain::propagation
