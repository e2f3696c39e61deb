#include "kafka/avro_json.hpp"

#include "domain/json.hpp"

#include <openssl/evp.h>

#include <charconv>
#include <cmath>
#include <stdexcept>
#include <string_view>

namespace infra::kafka {
namespace {

void check(int code)
{
    if (code != 0) throw std::runtime_error("libavro cannot give a value that it has read");
}

class Writer {
public:
    bool write(const avro_value_t& value)
    {
        // As a number: libavro 1.12 has a type more (AVRO_INVALID) than 1.11, which no switch can name for
        // both.
        switch (static_cast<int>(avro_value_get_type(&value))) {
            case AVRO_NULL:
                out_ += "null";
                return true;
            case AVRO_BOOLEAN:
                return boolean(value);
            case AVRO_INT32:
                return number<std::int32_t>(value, &avro_value_get_int_of);
            case AVRO_INT64:
                return number<std::int64_t>(value, &avro_value_get_long_of);
            case AVRO_FLOAT:
                return real<float>(value, &avro_value_get_float_of);
            case AVRO_DOUBLE:
                return real<double>(value, &avro_value_get_double_of);
            case AVRO_STRING:
                return string(value);
            case AVRO_BYTES:
                return bytes(value, false);
            case AVRO_FIXED:
                return bytes(value, true);
            case AVRO_ENUM:
                return symbol(value);
            case AVRO_ARRAY:
                return items(value);
            case AVRO_MAP:
            case AVRO_RECORD:
                return members(value);
            case AVRO_UNION:
                return branch(value);
            default:
                return false;
        }
    }

    std::string take() { return std::move(out_); }

private:
    // libavro's getters are macros; these give them a type.
    static int avro_value_get_int_of(const avro_value_t* value, std::int32_t* out)
    {
        return avro_value_get_int(value, out);
    }
    static int avro_value_get_long_of(const avro_value_t* value, std::int64_t* out)
    {
        return avro_value_get_long(value, out);
    }
    static int avro_value_get_float_of(const avro_value_t* value, float* out)
    {
        return avro_value_get_float(value, out);
    }
    static int avro_value_get_double_of(const avro_value_t* value, double* out)
    {
        return avro_value_get_double(value, out);
    }

    bool boolean(const avro_value_t& value)
    {
        int truth = 0;
        check(avro_value_get_boolean(&value, &truth));
        out_ += truth != 0 ? "true" : "false";
        return true;
    }

    template <class Number>
    bool number(const avro_value_t& value, int (*get)(const avro_value_t*, Number*))
    {
        Number found{};
        check(get(&value, &found));
        char text[32];
        const auto end = std::to_chars(std::begin(text), std::end(text), found).ptr;
        out_.append(text, end);
        return true;
    }

    template <class Real>
    bool real(const avro_value_t& value, int (*get)(const avro_value_t*, Real*))
    {
        Real found{};
        check(get(&value, &found));
        if (!std::isfinite(found)) return false;
        char text[64];
        const auto end = std::to_chars(std::begin(text), std::end(text), found).ptr;
        const std::string_view digits(text, static_cast<std::size_t>(end - text));
        out_ += digits;
        // A real number stays one, also for readers that tell 1 from 1.0.
        if (digits.find_first_of(".e") == std::string_view::npos) out_ += ".0";
        return true;
    }

    bool string(const avro_value_t& value)
    {
        const char* text = nullptr;
        std::size_t size = 0;  // with the closing NUL
        check(avro_value_get_string(&value, &text, &size));
        out_ += domain::json_string({text, size - 1});
        return true;
    }

    bool bytes(const avro_value_t& value, bool fixed)
    {
        const void* data = nullptr;
        std::size_t size = 0;
        check(fixed ? avro_value_get_fixed(&value, &data, &size)
                    : avro_value_get_bytes(&value, &data, &size));
        std::string text((size + 2) / 3 * 4 + 1, '\0');
        const int length = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                                           static_cast<const unsigned char*>(data), static_cast<int>(size));
        text.resize(static_cast<std::size_t>(length));
        out_ += '"' + text + '"';
        return true;
    }

    bool symbol(const avro_value_t& value)
    {
        int index = 0;
        check(avro_value_get_enum(&value, &index));
        const char* name = avro_schema_enum_get(avro_value_get_schema(&value), index);
        if (name == nullptr) return false;
        out_ += domain::json_string(name);
        return true;
    }

    bool items(const avro_value_t& value)
    {
        std::size_t size = 0;
        check(avro_value_get_size(&value, &size));
        out_ += '[';
        for (std::size_t i = 0; i < size; ++i) {
            avro_value_t item;
            check(avro_value_get_by_index(&value, i, &item, nullptr));
            if (i > 0) out_ += ',';
            if (!write(item)) return false;
        }
        out_ += ']';
        return true;
    }

    bool members(const avro_value_t& value)
    {
        std::size_t size = 0;
        check(avro_value_get_size(&value, &size));
        out_ += '{';
        for (std::size_t i = 0; i < size; ++i) {
            avro_value_t member;
            const char* name = nullptr;
            check(avro_value_get_by_index(&value, i, &member, &name));
            if (i > 0) out_ += ',';
            if (name == nullptr) return false;
            out_ += domain::json_string(name);
            out_ += ':';
            if (!write(member)) return false;
        }
        out_ += '}';
        return true;
    }

    bool branch(const avro_value_t& value)
    {
        avro_value_t chosen;
        check(avro_value_get_current_branch(&value, &chosen));
        return write(chosen);
    }

    std::string out_;
};

}  // namespace

std::optional<std::string> to_json(const avro_value_t& value)
{
    Writer writer;
    if (!writer.write(value)) return std::nullopt;
    return writer.take();
}

}  // namespace infra::kafka
