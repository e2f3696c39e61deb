#include "kafka/avro_encoder.hpp"

#include "domain/base64.hpp"
#include "kafka/avro_inference.hpp"
#include "kafka/avro_schema.hpp"

#include <boost/json/serialize.hpp>

#include <avro.h>
#include <cstdint>
#include <limits>
#include <optional>

namespace infra::kafka {
namespace {

namespace json = boost::json;

struct ClassRelease {
    void operator()(avro_value_iface_t* iface) const { avro_value_iface_decref(iface); }
};
struct WriterRelease {
    void operator()(avro_writer_t_* writer) const { avro_writer_free(writer); }
};

class Value {
public:
    explicit Value(avro_value_iface_t* iface)
    {
        if (avro_generic_value_new(iface, &value_) != 0) throw std::bad_alloc();
    }
    ~Value() { avro_value_decref(&value_); }
    Value(const Value&) = delete;
    Value& operator=(const Value&) = delete;
    avro_value_t* get() { return &value_; }

private:
    avro_value_t value_{};
};

void check(int code)
{
    if (code != 0) throw std::runtime_error("libavro cannot hold a value");
}

std::string_view text_of(const json::string& text) { return {text.data(), text.size()}; }

// The member that is this field: of this very name, or of one that avro_name() makes it.
const json::value* member_of(const json::object& object, const char* field)
{
    if (const auto* value = object.if_contains(field)) return value;
    for (const auto& member : object) {
        if (avro_name({member.key().data(), member.key().size()}) == field) return &member.value();
    }
    return nullptr;
}

class Filler {
public:
    // False = it does not fit; path_ then tells where.
    bool fill(avro_value_t* target, const json::value& value)
    {
        // As a number: libavro 1.12 has a type more (AVRO_INVALID) than 1.11, which no switch can name for
        // both.
        switch (static_cast<int>(avro_value_get_type(target))) {
            case AVRO_NULL:
                if (!value.is_null()) return false;
                check(avro_value_set_null(target));
                return true;
            case AVRO_BOOLEAN:
                if (!value.is_bool()) return false;
                check(avro_value_set_boolean(target, value.get_bool() ? 1 : 0));
                return true;
            case AVRO_INT32:
                return whole(target, value, std::numeric_limits<std::int32_t>::min(),
                             std::numeric_limits<std::int32_t>::max());
            case AVRO_INT64:
                return whole(target, value, std::numeric_limits<std::int64_t>::min(),
                             std::numeric_limits<std::int64_t>::max());
            case AVRO_FLOAT:
                if (!value.is_number()) return false;
                check(avro_value_set_float(target, value.to_number<float>()));
                return true;
            case AVRO_DOUBLE:
                if (!value.is_number()) return false;
                check(avro_value_set_double(target, value.to_number<double>()));
                return true;
            case AVRO_STRING:
                return string(target, value);
            case AVRO_BYTES:
            case AVRO_FIXED:
                return bytes(target, value);
            case AVRO_ENUM:
                return symbol(target, value);
            case AVRO_ARRAY:
                return items(target, value);
            case AVRO_MAP:
                return entries(target, value);
            case AVRO_RECORD:
                return fields(target, value);
            case AVRO_UNION:
                return branch(target, value);
            default:
                return false;
        }
    }

    const std::string& path() const { return path_; }

private:
    static bool whole(avro_value_t* target, const json::value& value, std::int64_t least, std::int64_t most)
    {
        if (!value.is_int64() || value.get_int64() < least || value.get_int64() > most) return false;
        if (avro_value_get_type(target) == AVRO_INT32) {
            check(avro_value_set_int(target, static_cast<std::int32_t>(value.get_int64())));
        } else {
            check(avro_value_set_long(target, value.get_int64()));
        }
        return true;
    }

    static bool string(avro_value_t* target, const json::value& value)
    {
        if (value.is_null()) return false;
        const std::string text =
            value.is_string() ? std::string(text_of(value.get_string())) : json::serialize(value);
        check(avro_value_set_string_len(target, const_cast<char*>(text.c_str()), text.size() + 1));
        return true;
    }

    static bool bytes(avro_value_t* target, const json::value& value)
    {
        if (!value.is_string()) return false;
        auto raw = domain::base64_decoded(text_of(value.get_string()));
        if (!raw) return false;
        if (avro_value_get_type(target) == AVRO_BYTES) {
            check(avro_value_set_bytes(target, raw->data(), raw->size()));
            return true;
        }
        const auto size = avro_schema_fixed_size(avro_value_get_schema(target));
        if (raw->size() != static_cast<std::size_t>(size)) return false;
        check(avro_value_set_fixed(target, raw->data(), raw->size()));
        return true;
    }

    static bool symbol(avro_value_t* target, const json::value& value)
    {
        if (!value.is_string()) return false;
        const std::string name(text_of(value.get_string()));
        const int number = avro_schema_enum_get_by_name(avro_value_get_schema(target), name.c_str());
        if (number < 0) return false;
        check(avro_value_set_enum(target, number));
        return true;
    }

    bool items(avro_value_t* target, const json::value& value)
    {
        if (!value.is_array()) return false;
        for (const auto& item : value.get_array()) {
            avro_value_t element{};
            check(avro_value_append(target, &element, nullptr));
            if (!fill(&element, item)) return false;
        }
        return true;
    }

    bool entries(avro_value_t* target, const json::value& value)
    {
        if (!value.is_object()) return false;
        for (const auto& member : value.get_object()) {
            avro_value_t element{};
            const std::string key(member.key().data(), member.key().size());
            check(avro_value_add(target, key.c_str(), &element, nullptr, nullptr));
            if (!fill(&element, member.value())) return false;
        }
        return true;
    }

    bool fields(avro_value_t* target, const json::value& value)
    {
        if (!value.is_object()) return false;
        static const json::value absent;
        std::size_t count = 0;
        check(avro_value_get_size(target, &count));
        for (std::size_t i = 0; i < count; ++i) {
            avro_value_t field{};
            const char* name = nullptr;
            check(avro_value_get_by_index(target, i, &field, &name));
            if (name == nullptr) return false;  // a record's fields have names
            const auto* member = member_of(value.get_object(), name);
            if (fill(&field, member == nullptr ? absent : *member)) continue;
            path_ = path_.empty() ? name : std::string(name) + "." + path_;
            return false;
        }
        return true;
    }

    bool branch(avro_value_t* target, const json::value& value)
    {
        const auto schema = avro_value_get_schema(target);
        std::string first_path;
        for (std::size_t i = 0; i < avro_schema_union_size(schema); ++i) {
            avro_value_t chosen{};
            check(avro_value_set_branch(target, static_cast<int>(i), &chosen));
            if (chosen.iface == nullptr) return false;  // check() has seen to it
            path_.clear();
            // What a branch that did not fit has taken already is dropped.
            check(avro_value_reset(&chosen));
            if (fill(&chosen, value)) return true;
            if (first_path.empty()) first_path = path_;
        }
        path_ = first_path;
        return false;
    }

    std::string path_;
};

}  // namespace

class AvroEncoder::Impl {
public:
    explicit Impl(std::string_view text) : schema_(parse_schema(text))
    {
        if (!schema_ || !is_avro_record(schema_.get()))
            throw std::invalid_argument("must be the Avro schema of a record");
        if (const auto danger = schema_danger(schema_.get()))
            throw std::invalid_argument("must not have " + *danger);
        class_.reset(avro_generic_class_from_schema(schema_.get()));
        if (!class_) throw std::invalid_argument("must be a schema that libavro can use");
    }

    std::string record_name() const { return full_name(schema_.get()); }

    std::string encode(const json::value& value) const
    {
        Value record(class_.get());
        Filler filler;
        if (!filler.fill(record.get(), value))
            throw AvroMisfit(filler.path().empty()
                                 ? "the payload does not fit the schema"
                                 : "the payload does not fit the schema at " + filler.path());
        std::size_t size = 0;
        check(avro_value_sizeof(record.get(), &size));
        std::string bytes(size, '\0');
        const std::unique_ptr<avro_writer_t_, WriterRelease> writer(
            avro_writer_memory(bytes.data(), static_cast<std::int64_t>(bytes.size())));
        if (!writer) throw std::bad_alloc();
        check(avro_value_write(writer.get(), record.get()));
        return bytes;
    }

private:
    Schema schema_;
    std::unique_ptr<avro_value_iface_t, ClassRelease> class_;
};

AvroEncoder::AvroEncoder(std::string_view schema) : impl_(std::make_unique<Impl>(schema)) {}
AvroEncoder::~AvroEncoder() = default;
AvroEncoder::AvroEncoder(AvroEncoder&&) noexcept = default;
AvroEncoder& AvroEncoder::operator=(AvroEncoder&&) noexcept = default;
std::string AvroEncoder::record_name() const { return impl_->record_name(); }
std::string AvroEncoder::encode(const json::value& value) const { return impl_->encode(value); }

}  // namespace infra::kafka
