#include "kafka/schema_registry.hpp"

#include "infra/log/log.hpp"

#include <boost/json.hpp>
#include <curl/curl.h>

#include <stdexcept>

namespace infra::kafka {
namespace {

constexpr long connect_timeout_ms = 2'000;
constexpr long request_timeout_ms = 5'000;
constexpr std::size_t answer_bytes_max = std::size_t{4} << 20U;

std::size_t receive(const char* data, std::size_t, std::size_t size, void* target)
{
    auto& answer = *static_cast<std::string*>(target);
    if (answer.size() + size > answer_bytes_max) return 0;
    answer.append(data, size);
    return size;
}

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

}  // namespace

class SchemaRegistry::Impl {
public:
    explicit Impl(std::string url) : url_(std::move(url))
    {
        while (url_.ends_with('/')) url_.pop_back();
        if (url_.empty()) return;
        static const CURLcode initialised = curl_global_init(CURL_GLOBAL_DEFAULT);
        if (initialised == CURLE_OK) easy_ = curl_easy_init();
        if (easy_ == nullptr) throw std::runtime_error("libcurl cannot be used");
    }

    ~Impl() { curl_easy_cleanup(easy_); }
    Impl(const Impl&) = delete;
    Impl& operator=(const Impl&) = delete;

    SchemaText schema(std::uint32_t id)
    {
        if (easy_ == nullptr) return SchemaUnknown{};
        const std::string url = url_ + "/schemas/ids/" + std::to_string(id);
        std::string answer;
        curl_easy_setopt(easy_, CURLOPT_URL, url.c_str());
        curl_easy_setopt(easy_, CURLOPT_WRITEFUNCTION, receive);
        curl_easy_setopt(easy_, CURLOPT_WRITEDATA, &answer);
        curl_easy_setopt(easy_, CURLOPT_CONNECTTIMEOUT_MS, connect_timeout_ms);
        curl_easy_setopt(easy_, CURLOPT_TIMEOUT_MS, request_timeout_ms);
        curl_easy_setopt(easy_, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(easy_, CURLOPT_PROTOCOLS_STR, "http,https");
        const auto code = curl_easy_perform(easy_);
        long status = 0;
        curl_easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &status);
        if (code == CURLE_OK && status == 404 && answer.find("error_code") != std::string::npos)
            return SchemaUnknown{};
        auto result =
            code == CURLE_OK && status == 200 ? read_answer(answer) : SchemaText(RegistryUnreachable{});
        if (std::holds_alternative<RegistryUnreachable>(result)) {
            log_warning("schema not read",
                        {{"schema_id", id}, {"status", status}, {"reason", curl_easy_strerror(code)}});
        }
        return result;
    }

private:
    std::string url_;
    CURL* easy_ = nullptr;
};

SchemaRegistry::SchemaRegistry(std::string url) : impl_(std::make_unique<Impl>(std::move(url))) {}
SchemaRegistry::~SchemaRegistry() = default;
SchemaText SchemaRegistry::schema(std::uint32_t id) { return impl_->schema(id); }

}  // namespace infra::kafka
