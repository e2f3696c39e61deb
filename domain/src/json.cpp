#include "domain/json.hpp"

#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/string_view.hpp>
#include <boost/json/value_stack.hpp>
#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <string>
#include <utility>

namespace domain {
namespace {

namespace json = boost::json;

// The parser's own limit is above ours, so that a document that is a little too deep can still be skipped to
// its end, and its neighbours in an array are read.
constexpr std::size_t parser_depth_max = 256;

// Where the parser is, as a JSON pointer (RFC 6901).
class PathTracker {
public:
    void enter(bool array) { frames_.push_back({array, 0, {}}); }
    void leave() { frames_.pop_back(); }
    void key_part(std::string_view part) { part_ += part; }
    void key(std::string_view last_part)
    {
        frames_.back().key = part_.append(last_part);
        part_.clear();
    }
    void value_done()
    {
        if (!frames_.empty() && frames_.back().array) ++frames_.back().index;
    }

    std::string pointer() const
    {
        std::string out;
        for (const auto& frame : frames_)
            out += "/" + (frame.array ? std::to_string(frame.index) : escaped(frame.key));
        return out.empty() ? "the top level" : out;
    }

private:
    struct Frame {
        bool array;
        std::size_t index;
        std::string key;
    };

    static std::string escaped(std::string_view key)
    {
        std::string out;
        for (const char c : key) {
            if (c == '~' || c == '/') {
                out += c == '~' ? "~0" : "~1";
            } else if (c != '\0') {
                out.push_back(c);
            }
        }
        return out;
    }

    std::vector<Frame> frames_;
    std::string part_;
};

// Builds the value, and remembers the first thing that is valid JSON but not acceptable to us.
struct Handler {
    static constexpr std::size_t max_object_size = std::size_t(-1);
    static constexpr std::size_t max_array_size = std::size_t(-1);
    static constexpr std::size_t max_key_size = json::string::max_size();
    static constexpr std::size_t max_string_size = json::string::max_size();

    json::value_stack stack;
    std::string fault;
    std::size_t depth = 0;
    bool nul_in_key = false;      // in the parts of a key whose end is still to come
    std::string number;           // text of a number that the parser hands over in parts
    PathTracker* path = nullptr;  // only in the second pass, which finds the place of a fault

    explicit Handler(json::storage_ptr storage) { stack.reset(std::move(storage)); }

    void refuse(const char* why)
    {
        if (!fault.empty()) return;
        fault = why;
        if (path != nullptr) fault += " at " + path->pointer();
    }

    void enter(bool array)
    {
        if (++depth > json_depth_max) refuse("is nested deeper than 32 levels");
        if (path != nullptr) path->enter(array);
    }

    void leave()
    {
        --depth;
        if (path != nullptr) path->leave();
        value_done();
    }

    void value_done()
    {
        if (path != nullptr) path->value_done();
    }

    static bool has_nul(std::string_view text) { return text.find('\0') != std::string_view::npos; }

    void check_text(std::string_view text)
    {
        if (has_nul(text)) refuse("has a NUL character in a string");
    }

    bool on_document_begin(json::error_code&) { return true; }
    bool on_document_end(json::error_code&) { return true; }
    bool on_object_begin(json::error_code&)
    {
        enter(false);
        return true;
    }
    bool on_object_end(std::size_t n, json::error_code&)
    {
        leave();
        stack.push_object(n);
        return true;
    }
    bool on_array_begin(json::error_code&)
    {
        enter(true);
        return true;
    }
    bool on_array_end(std::size_t n, json::error_code&)
    {
        leave();
        stack.push_array(n);
        return true;
    }
    bool on_key_part(json::string_view s, std::size_t, json::error_code&)
    {
        nul_in_key = nul_in_key || has_nul(s);
        if (path != nullptr) path->key_part(s);
        stack.push_chars(s);
        return true;
    }
    bool on_key(json::string_view s, std::size_t, json::error_code&)
    {
        if (path != nullptr) path->key(s);
        if (std::exchange(nul_in_key, false) || has_nul(s)) refuse("has a NUL character in a string");
        stack.push_key(s);
        return true;
    }
    bool on_string_part(json::string_view s, std::size_t, json::error_code&)
    {
        check_text(s);
        stack.push_chars(s);
        return true;
    }
    bool on_string(json::string_view s, std::size_t, json::error_code&)
    {
        check_text(s);
        stack.push_string(s);
        value_done();
        return true;
    }
    bool on_number_part(json::string_view s, json::error_code&)
    {
        number.append(s);
        return true;
    }
    bool on_int64(std::int64_t i, json::string_view, json::error_code&)
    {
        number.clear();
        stack.push_int64(i);
        value_done();
        return true;
    }
    bool on_uint64(std::uint64_t u, json::string_view, json::error_code&)
    {
        number.clear();
        stack.push_uint64(u);
        value_done();
        return true;
    }
    bool on_double(double, json::string_view s, json::error_code&)
    {
        number.append(s);
        stack.push_double(exact_double());
        number.clear();
        value_done();
        return true;
    }
    bool on_bool(bool b, json::error_code&)
    {
        stack.push_bool(b);
        value_done();
        return true;
    }
    bool on_null(json::error_code&)
    {
        stack.push_null();
        value_done();
        return true;
    }
    bool on_comment_part(json::string_view, json::error_code&) { return true; }
    bool on_comment(json::string_view, json::error_code&) { return true; }

private:
    double exact_double()
    {
        if (number.find_first_of(".eE") == std::string::npos) refuse("has an integer beyond 64 bits");
        double value = 0;
        const auto [end, ec] = std::from_chars(number.data(), number.data() + number.size(), value);
        if (ec == std::errc::result_out_of_range || !std::isfinite(value))
            refuse("has a number out of range");
        return value;
    }
};

using Parser = json::basic_parser<Handler>;

json::parse_options options()
{
    json::parse_options o;
    o.max_depth = parser_depth_max;
    return o;
}

std::string syntax_fault(const json::error_code& ec, std::size_t at)
{
    if (ec == json::error::too_deep) return "JSON is nested deeper than 32 levels";
    return fmt::format("not valid JSON at byte {}: {}", at, ec.message());
}

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

std::size_t skip_blanks(std::string_view text, std::size_t at)
{
    while (at < text.size() && is_blank(text[at])) ++at;
    return at;
}

// Reads the text a second time, with the path: the first pass stays quick.
Fault fault_with_place(std::string_view text)
{
    PathTracker path;
    Parser parser(options(), json::storage_ptr{});
    parser.handler().path = &path;
    json::error_code ec;
    parser.write_some(false, text.data(), text.size(), ec);
    return Fault{"JSON " + parser.handler().fault};
}

struct Element {
    Result<JsonDocument> document;
    std::size_t bytes;  // its length in the text
};

// Reads one value at the start of `text` and leaves what follows it. Fails where the text is malformed.
Result<Element> read_element(std::string_view text, std::size_t offset)
{
    Parser parser(options(), json::storage_ptr{});
    json::error_code ec;
    std::size_t used = parser.write_some(true, text.data(), text.size(), ec);
    if (ec == json::error::incomplete || (!ec && !parser.done())) parser.write_some(false, nullptr, 0, ec);
    if (ec) return {boost::system::in_place_error, Fault{syntax_fault(ec, offset + used)}};
    // A number at the very end of the input is only finished by its end.
    while (used > 0 && is_blank(text[used - 1])) --used;
    const std::string_view own = text.substr(0, used);
    Handler& handler = parser.handler();
    if (!handler.fault.empty()) return Element{fault_with_place(own), used};
    return Element{JsonDocument{handler.stack.release(), own}, used};
}

}  // namespace

Result<JsonDocument> parse_json(std::string_view text, json::storage_ptr storage)
{
    Parser parser(options(), std::move(storage));
    json::error_code ec;
    std::size_t used = parser.write_some(false, text.data(), text.size(), ec);
    if (!ec && used < text.size()) {
        used = skip_blanks(text, used);
        if (used < text.size()) ec = json::error::extra_data;
    }
    if (ec) return Fault{syntax_fault(ec, used)};
    Handler& handler = parser.handler();
    if (!handler.fault.empty()) return fault_with_place(text);
    return JsonDocument{handler.stack.release(), text};
}

Result<std::vector<Result<JsonDocument>>> parse_json_array(std::string_view text, std::size_t items_max)
{
    std::vector<Result<JsonDocument>> items;
    std::size_t at = skip_blanks(text, 0);
    if (at >= text.size() || text[at] != '[') return Fault{"not a JSON array"};
    at = skip_blanks(text, at + 1);
    bool closed = at < text.size() && text[at] == ']';
    while (!closed) {
        if (items.size() == items_max)
            return Fault{fmt::format("more than {} items in one batch", items_max)};
        auto element = read_element(text.substr(at), at);
        if (!element) return element.error();
        items.push_back(std::move(element->document));
        at = skip_blanks(text, at + element->bytes);
        if (at >= text.size() || (text[at] != ',' && text[at] != ']')) {
            return Fault{fmt::format("not valid JSON at byte {}: expected , or ]", at)};
        }
        closed = text[at] == ']';
        at = closed ? at : skip_blanks(text, at + 1);
    }
    at = skip_blanks(text, at + 1);
    if (at != text.size()) return Fault{fmt::format("not valid JSON at byte {}: extra data", at)};
    return items;
}

std::optional<std::string_view> json_member_text(std::string_view object, std::string_view name)
{
    std::optional<std::string_view> found;
    std::size_t at = skip_blanks(object, skip_blanks(object, 0) + 1);
    while (at < object.size() && object[at] != '}') {
        const auto key = read_element(object.substr(at), at);
        if (!key || !key->document || !key->document->value.is_string()) return std::nullopt;
        at = skip_blanks(object, skip_blanks(object, at + key->bytes) + 1);  // past the colon
        const auto value = read_element(object.substr(at), at);
        if (!value) return std::nullopt;
        if (std::string_view(key->document->value.get_string()) == name)
            found = object.substr(at, value->bytes);
        at = skip_blanks(object, at + value->bytes);
        if (at < object.size() && object[at] == ',') at = skip_blanks(object, at + 1);
    }
    return found;
}

std::string json_string(std::string_view text)
{
    return json::serialize(json::string_view(text.data(), text.size()));
}

bool looks_like_json_array(std::string_view text)
{
    const std::size_t at = skip_blanks(text, 0);
    return at < text.size() && text[at] == '[';
}

}  // namespace domain
