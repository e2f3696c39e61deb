#include "kafka/schema_registry.hpp"

#include "infra/log/log.hpp"
#include "net/curl.hpp"

#include <boost/json.hpp>

#include <limits>
#include <optional>

namespace infra::kafka {
namespace {

using net::curl::set;

constexpr long connect_timeout_ms = 2'000;
constexpr long request_timeout_ms = 5'000;
constexpr std::size_t answer_bytes_max = std::size_t{4} << 20U;

SchemaText read_answer(const std::string& answer)
{
    boost::system::error_code ec;
    const auto document = boost::json::parse(answer, ec);
    const auto* object = ec ? nullptr : document.if_object();
    const auto* text = object == nullptr ? nullptr : object->if_contains("schema");
    if (text == nullptr || !text->is_string()) return RegistryUnreachable{};
    const auto* type = object->if_contains("schemaType");
    if (type != nullptr && *type != "AVRO") return std::string();
    const auto* references = object->if_contains("references");
    if (references != nullptr && references->is_array() && !references->get_array().empty())
        return std::string();
    return std::string(text->get_string());
}

// Nothing when the answer cannot be relied on.
std::optional<SchemaId> read_id(unsigned status, const std::string& answer)
{
    boost::system::error_code ec;
    const auto document = boost::json::parse(answer, ec);
    const auto* object = ec ? nullptr : document.if_object();
    if (object == nullptr) return std::nullopt;
    const auto* id = object->if_contains("id");
    const bool is_id = id != nullptr && id->is_int64() && id->get_int64() >= 0 &&
                       id->get_int64() <= std::numeric_limits<std::uint32_t>::max();
    if (status == 200 && is_id) return SchemaId(static_cast<std::uint32_t>(id->get_int64()));
    // 409: not compatible; 422: not valid. Others may pass.
    if (status != 409 && status != 422) return std::nullopt;
    const auto* code = object->if_contains("error_code");
    std::string reason = "HTTP " + std::to_string(status);
    if (code != nullptr && code->is_int64()) reason += ", error " + std::to_string(code->get_int64());
    return SchemaId(SchemaRefused{std::move(reason)});
}

}  // namespace

class SchemaRegistry::Impl {
public:
    explicit Impl(std::string url) : url_(std::move(url))
    {
        while (url_.ends_with('/')) url_.pop_back();
        if (url_.empty()) return;
        easy_ = net::curl::new_easy();
        net::curl::set_policy(easy_.get(), "polis");
        set(easy_.get(), CURLOPT_CONNECTTIMEOUT_MS, connect_timeout_ms);
        set(easy_.get(), CURLOPT_TIMEOUT_MS, request_timeout_ms);
        answer_.attach(easy_.get());
    }

    SchemaText schema(std::uint32_t id)
    {
        if (!easy_) return SchemaUnknown{};
        const std::string url = url_ + "/schemas/ids/" + std::to_string(id);
        set(easy_.get(), CURLOPT_URL, url.c_str());
        answer_.reset();
        const auto code = curl_easy_perform(easy_.get());
        const auto status = code == CURLE_OK ? net::curl::status_of(easy_.get()) : 0;
        if (status == 404 && answer_.text().find("error_code") != std::string::npos) return SchemaUnknown{};
        auto result = status == 200 ? read_answer(answer_.text()) : SchemaText(RegistryUnreachable{});
        if (std::holds_alternative<RegistryUnreachable>(result)) {
            log_warning("schema not read",
                        {{"schema_id", id}, {"status", status}, {"reason", curl_easy_strerror(code)}});
        }
        return result;
    }

    SchemaId register_schema(const std::string& subject, const std::string& schema)
    {
        if (!easy_) return SchemaRefused{"no schema registry is configured"};
        // A subject is a record's full name: it needs no encoding.
        const std::string url = url_ + "/subjects/" + subject + "/versions";
        const std::string body = boost::json::serialize(boost::json::object{{"schema", schema}});
        net::curl::Headers headers;
        net::curl::append(headers, "Content-Type: application/vnd.schemaregistry.v1+json");
        net::curl::append(headers, "Expect:");
        set(easy_.get(), CURLOPT_URL, url.c_str());
        set(easy_.get(), CURLOPT_HTTPHEADER, headers.get());
        set(easy_.get(), CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
        set(easy_.get(), CURLOPT_POSTFIELDS, body.c_str());
        answer_.reset();
        const auto code = curl_easy_perform(easy_.get());
        const auto status = code == CURLE_OK ? net::curl::status_of(easy_.get()) : 0;
        set(easy_.get(), CURLOPT_HTTPHEADER, static_cast<curl_slist*>(nullptr));
        set(easy_.get(), CURLOPT_HTTPGET, 1L);
        if (auto id = read_id(status, answer_.text())) return *std::move(id);
        log_warning("schema not registered",
                    {{"subject", subject}, {"status", status}, {"reason", curl_easy_strerror(code)}});
        return RegistryUnreachable{};
    }

private:
    std::string url_;
    net::curl::Easy easy_;
    net::curl::Body answer_{answer_bytes_max, answer_bytes_max};
};

SchemaRegistry::SchemaRegistry(std::string url) : impl_(std::make_unique<Impl>(std::move(url))) {}
SchemaRegistry::~SchemaRegistry() = default;
SchemaText SchemaRegistry::schema(std::uint32_t id) { return impl_->schema(id); }
SchemaId SchemaRegistry::register_schema(const std::string& subject, const std::string& schema)
{
    return impl_->register_schema(subject, schema);
}

}  // namespace infra::kafka
