#include "infra/kafka/avro_decoder.hpp"

#include "kafka/avro_json.hpp"
#include "kafka/avro_schema.hpp"
#include "kafka/known_records.hpp"
#include "kafka/schema_registry.hpp"

#include <cstdint>
#include <map>
#include <stdexcept>
#include <unordered_map>
#include <variant>

namespace infra::kafka {
namespace {

using app::RecordFault;
using domain::RejectReason;

constexpr std::size_t frame_header_bytes = 5;
constexpr std::size_t schemas_max = 1000;

struct ClassRelease {
    void operator()(avro_value_iface_t* iface) const { avro_value_iface_decref(iface); }
};
using ValueClass = std::unique_ptr<avro_value_iface_t, ClassRelease>;

struct ReaderRelease {
    void operator()(avro_reader_t_* reader) const { avro_reader_free(reader); }
};
using Reader = std::unique_ptr<avro_reader_t_, ReaderRelease>;

// A value that is released with its scope; avro_value_t itself is a plain pair of pointers.
class Value {
public:
    Value() = default;
    ~Value()
    {
        if (value_.iface != nullptr) avro_value_decref(&value_);
    }
    Value(const Value&) = delete;
    Value& operator=(const Value&) = delete;
    avro_value_t* get() { return &value_; }

private:
    avro_value_t value_{};
};

// How records of one schema id are read.
struct Recipe {
    std::string name;
    Schema writer;
    ValueClass target;    // of our schema, or of the writer's where we know none
    ValueClass resolver;  // from the writer's to ours; empty where we know none
};

using Compiled = std::variant<Recipe, RecordFault>;

std::uint32_t schema_id(std::string_view frame)
{
    std::uint32_t id = 0;
    for (std::size_t i = 1; i < frame_header_bytes; ++i) id = id << 8U | static_cast<unsigned char>(frame[i]);
    return id;
}

// libavro's memory reader cannot tell its end (avro_reader_is_eof knows files only), so one more byte is
// asked for.
bool at_end(avro_reader_t reader)
{
    static const Schema one_byte(avro_schema_fixed("one_byte", 1));
    static const ValueClass one_byte_class(avro_generic_class_from_schema(one_byte.get()));
    Value value;
    if (avro_generic_value_new(one_byte_class.get(), value.get()) != 0) throw std::bad_alloc();
    return avro_value_read(reader, value.get()) != 0;
}

bool read_all(avro_reader_t reader, avro_value_t* value)
{
    return avro_value_read(reader, value) == 0 && at_end(reader);
}

bool read_record(const Recipe& recipe, std::string_view body, Value& value)
{
    if (avro_generic_value_new(recipe.target.get(), value.get()) != 0) throw std::bad_alloc();
    const Reader reader(avro_reader_memory(body.data(), static_cast<std::int64_t>(body.size())));
    if (!reader) throw std::bad_alloc();
    if (!recipe.resolver) return read_all(reader.get(), value.get());
    Value resolved;
    if (avro_resolved_writer_new_value(recipe.resolver.get(), resolved.get()) != 0) throw std::bad_alloc();
    avro_resolved_writer_set_dest(resolved.get(), value.get());
    return read_all(reader.get(), resolved.get());
}

}  // namespace

class AvroDecoder::Impl {
public:
    explicit Impl(const std::string& registry_url) : registry_(registry_url)
    {
        for (const auto& known : known_records()) {
            auto schema = parse_schema(known.schema);
            if (!schema) throw std::logic_error("a schema of ours is none: " + std::string(known.name));
            readers_.emplace(known.name, std::move(schema));
        }
    }

    app::RecordResult decode(std::string_view frame)
    {
        if (frame.size() < frame_header_bytes) {
            return RecordFault{RejectReason::short_frame, "the Avro frame is shorter than five bytes"};
        }
        if (frame.front() != '\0')
            return RecordFault{RejectReason::bad_magic, "the Avro frame's first byte is not zero"};
        const auto id = schema_id(frame);
        const auto* compiled = find(id);
        if (compiled == nullptr) return app::RegistryUnavailable{};
        if (const auto* fault = std::get_if<RecordFault>(compiled)) return *fault;
        return read(std::get<Recipe>(*compiled), frame.substr(frame_header_bytes));
    }

private:
    static app::RecordResult read(const Recipe& recipe, std::string_view body)
    {
        Value value;
        if (!read_record(recipe, body, value)) {
            return RecordFault{RejectReason::bad_record,
                               "the record does not match its schema: too short, too long or malformed"};
        }
        auto json = to_json(*value.get());
        if (!json)
            return RecordFault{RejectReason::bad_record, "the record holds a number that JSON cannot hold"};
        return app::DecodedRecord{recipe.name, std::move(*json)};
    }

    // Null = the registry cannot be asked.
    const Compiled* find(std::uint32_t id)
    {
        if (const auto at = compiled_.find(id); at != compiled_.end()) return &at->second;
        const auto text = registry_.schema(id);
        if (std::holds_alternative<RegistryUnreachable>(text)) return nullptr;
        if (std::holds_alternative<SchemaUnknown>(text)) {
            // Not kept: somebody may register it, and then wants the message tried again.
            unknown_ =
                RecordFault{RejectReason::unknown_schema, "the registry has no schema " + std::to_string(id)};
            return &unknown_;
        }
        if (compiled_.size() >= schemas_max) compiled_.clear();
        return &compiled_.emplace(id, compile(std::get<std::string>(text))).first->second;
    }

    Compiled compile(const std::string& text) const
    {
        Recipe recipe;
        recipe.writer = parse_schema(text);
        if (!recipe.writer)
            return RecordFault{RejectReason::bad_schema, "the registered schema is not a plain Avro schema"};
        if (const auto danger = schema_danger(recipe.writer.get())) {
            return RecordFault{RejectReason::bad_schema, "the registered schema has " + *danger};
        }
        recipe.name = full_name(recipe.writer.get());
        const auto reader = readers_.find(recipe.name);
        if (reader == readers_.end()) {
            recipe.target.reset(avro_generic_class_from_schema(recipe.writer.get()));
            if (recipe.target) return recipe;
            return RecordFault{RejectReason::bad_schema, "libavro cannot use the registered schema"};
        }
        recipe.target.reset(avro_generic_class_from_schema(reader->second.get()));
        recipe.resolver.reset(avro_resolved_writer_new(recipe.writer.get(), reader->second.get()));
        if (recipe.target && recipe.resolver) return recipe;
        return RecordFault{RejectReason::schema_mismatch,
                           "the registered schema cannot be read as our " + recipe.name};
    }

    SchemaRegistry registry_;
    std::map<std::string, Schema, std::less<>> readers_;
    std::unordered_map<std::uint32_t, Compiled> compiled_;
    Compiled unknown_ = RecordFault{};
};

AvroDecoder::AvroDecoder(const std::string& registry_url) : impl_(std::make_unique<Impl>(registry_url)) {}
AvroDecoder::~AvroDecoder() = default;
app::RecordResult AvroDecoder::decode(std::string_view frame) { return impl_->decode(frame); }

}  // namespace infra::kafka
