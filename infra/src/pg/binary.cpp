#include "pg/binary.hpp"

#include <boost/endian/conversion.hpp>

namespace infra::pg {
namespace {

constexpr std::size_t header_bytes = 20;

void store32(char* at, std::uint32_t value)
{
    boost::endian::store_big_u32(reinterpret_cast<unsigned char*>(at), value);
}

}  // namespace

BinaryArray::BinaryArray(Element element) : bytes_(header_bytes, '\0')
{
    store32(bytes_.data(), 1);  // dimensions
    store32(bytes_.data() + 8, static_cast<std::uint32_t>(element));
    store32(bytes_.data() + 16, 1);  // lower bound
}

void BinaryArray::put32(std::uint32_t value)
{
    char buffer[4];
    store32(buffer, value);
    bytes_.append(buffer, sizeof buffer);
}

void BinaryArray::put64(std::uint64_t value)
{
    put32(static_cast<std::uint32_t>(value >> 32));
    put32(static_cast<std::uint32_t>(value));
}

void BinaryArray::add_null()
{
    put32(0xFFFFFFFF);
    has_null_ = true;
    ++count_;
}

void BinaryArray::add(std::int16_t value)
{
    put32(2);
    const auto u = static_cast<std::uint16_t>(value);
    bytes_.push_back(static_cast<char>(u >> 8));
    bytes_.push_back(static_cast<char>(u & 0xFF));
    ++count_;
}

void BinaryArray::add(std::int64_t value)
{
    put32(8);
    put64(static_cast<std::uint64_t>(value));
    ++count_;
}

void BinaryArray::add(const domain::Uuid& value)
{
    put32(16);
    bytes_.append(reinterpret_cast<const char*>(value.data), value.size());
    ++count_;
}

void BinaryArray::add_text(std::string_view value)
{
    put32(static_cast<std::uint32_t>(value.size()));
    bytes_.append(value);
    ++count_;
}

void BinaryArray::add_json(std::string_view text)
{
    put32(static_cast<std::uint32_t>(text.size() + 1));
    bytes_.push_back('\1');
    bytes_.append(text);
    ++count_;
}

void BinaryArray::add_time(domain::TimePoint value)
{
    using namespace std::chrono;
    constexpr domain::TimePoint postgres_epoch = sys_days{year{2000} / January / 1};
    put32(8);
    put64(static_cast<std::uint64_t>((value - postgres_epoch).count()));
    ++count_;
}

Param BinaryArray::param()
{
    store32(bytes_.data() + 4, has_null_ ? 1 : 0);
    store32(bytes_.data() + 12, count_);
    return {bytes_.data(), static_cast<int>(bytes_.size()), 1};
}

std::string uuid_array_text(const std::vector<std::optional<domain::Uuid>>& ids)
{
    std::string text = "{";
    for (const auto& id : ids) {
        if (text.size() > 1) text += ',';
        text += id ? domain::to_string(*id) : "NULL";
    }
    return text + "}";
}

std::vector<std::optional<domain::Uuid>> parse_uuid_array(std::string_view text)
{
    std::vector<std::optional<domain::Uuid>> ids;
    if (text.size() < 2) return ids;
    text = text.substr(1, text.size() - 2);
    while (!text.empty()) {
        const auto comma = text.find(',');
        ids.push_back(domain::parse_uuid(text.substr(0, comma)));
        text = comma == std::string_view::npos ? std::string_view{} : text.substr(comma + 1);
    }
    return ids;
}

}  // namespace infra::pg
