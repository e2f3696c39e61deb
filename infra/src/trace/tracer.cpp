#include "infra/trace/tracer.hpp"

#include "app/randomness.hpp"
#include "infra/log/log.hpp"
#include "net/curl.hpp"
#include "trace/otlp_json.hpp"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <thread>
#include <utility>

namespace infra::trace {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t queue_spans_max = 4096;
constexpr std::size_t batch_spans_max = 512;
constexpr std::chrono::milliseconds batch_wait{1000};
constexpr long send_timeout_ms = 5000;
constexpr long last_send_timeout_ms = 1000;
constexpr std::size_t answer_bytes_max = std::size_t{64} * 1024;  // read so that the connection can be kept
// After a failure, so that a collector that is down is asked rarely.
constexpr std::chrono::seconds pause_first{1};
constexpr std::chrono::seconds pause_max{60};

thread_local const Context* current_context = nullptr;

std::string traces_url(std::string endpoint)
{
    constexpr std::string_view path = "/v1/traces";
    while (endpoint.ends_with('/')) endpoint.pop_back();
    return endpoint.ends_with(path) ? endpoint : endpoint + std::string(path);
}

template <std::size_t size>
void fill(std::array<std::uint8_t, size>& bytes)
{
    for (std::size_t at = 0; at < size; at += sizeof(std::uint64_t)) {
        const std::uint64_t bits =
            std::max<std::uint64_t>(app::random_bits(), 1);  // all zeros would be no id
        std::memcpy(bytes.data() + at, &bits, sizeof bits);
    }
}

}  // namespace

class Tracer::Impl {
public:
    explicit Impl(TracerOptions options)
        : options_(std::move(options)), url_(traces_url(options_.endpoint)), easy_(net::curl::new_easy())
    {
        prepare();
        thread_ = std::thread([this] { loop(); });
    }

    ~Impl()
    {
        {
            const std::lock_guard lock(mutex_);
            stopping_ = true;
        }
        wake_.notify_all();
        thread_.join();
        if (dropped_ > 0) log_warning("spans dropped", {{"count", dropped_.load()}});
    }

    Impl(const Impl&) = delete;
    Impl& operator=(const Impl&) = delete;

    bool sampled(const Context& root) const
    {
        // The consistent way: the last eight bytes of the id against the share.
        std::uint64_t bits = 0;
        for (std::size_t i = 8; i < root.trace.size(); ++i) bits = bits << 8U | root.trace[i];
        return static_cast<double>(bits >> 11U) < options_.sampled_share * 0x1p53;
    }

    void push(Span span)
    {
        const std::lock_guard lock(mutex_);
        if (queue_.size() >= queue_spans_max) {
            ++dropped_;
            return;
        }
        queue_.push_back(std::move(span));
        if (queue_.size() == batch_spans_max) wake_.notify_one();
    }

    std::uint64_t exported() const { return exported_; }
    std::uint64_t dropped() const { return dropped_; }

private:
    void loop()
    {
        auto pause = std::chrono::seconds(0);
        for (bool last = false; !last;) {
            std::vector<Span> batch;
            {
                std::unique_lock lock(mutex_);
                // While the collector is down full batches wait, too.
                wake_.wait_for(lock, std::max<Clock::duration>(batch_wait, pause), [&] {
                    return stopping_ || (pause.count() == 0 && queue_.size() >= batch_spans_max);
                });
                last = stopping_;
                batch.swap(queue_);
            }
            if (send(batch, last)) {
                pause = std::chrono::seconds(0);
            } else {
                dropped_ += batch.size();
                pause = std::clamp(pause * 2, pause_first, pause_max);
            }
        }
    }

    bool send(const std::vector<Span>& batch, bool last)
    {
        for (std::size_t from = 0; from < batch.size(); from += batch_spans_max) {
            const auto count = std::min(batch_spans_max, batch.size() - from);
            if (!post(otlp_json({batch.data() + from, count}, options_.service, options_.version), last))
                return false;
            exported_ += count;
        }
        return true;
    }

    void prepare()
    {
        CURL* const easy = easy_.get();
        net::curl::set_policy(easy, "polis");
        net::curl::append(headers_, "Content-Type: application/json");
        net::curl::set(easy, CURLOPT_HTTPHEADER, headers_.get());
        net::curl::set(easy, CURLOPT_URL, url_.c_str());
        answer_.attach(easy);
    }

    bool post(const std::string& body, bool last)
    {
        CURL* const easy = easy_.get();
        answer_.reset();
        net::curl::set(easy, CURLOPT_POSTFIELDS, body.c_str());
        net::curl::set(easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
        net::curl::set(easy, CURLOPT_TIMEOUT_MS, last ? last_send_timeout_ms : send_timeout_ms);
        const CURLcode code = curl_easy_perform(easy);
        const auto status = net::curl::status_of(easy);
        if (answer_.answered(code) && status >= 200 && status < 300) return true;
        log_warning("collector takes no spans", {{"status", status}, {"reason", curl_easy_strerror(code)}});
        return false;
    }

    const TracerOptions options_;
    const std::string url_;
    const net::curl::Easy easy_;  // this and the next two: sender's thread only
    net::curl::Headers headers_;
    net::curl::Body answer_{answer_bytes_max, 0};
    std::mutex mutex_;
    std::condition_variable wake_;
    std::vector<Span> queue_;
    bool stopping_ = false;
    std::atomic<std::uint64_t> exported_ = 0;
    std::atomic<std::uint64_t> dropped_ = 0;
    std::thread thread_;
};

Tracer::Tracer(TracerOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {}

Tracer::~Tracer() = default;

Context Tracer::begin(const std::optional<Context>& parent)
{
    Context context;
    fill(context.span);
    if (parent) {
        context.trace = parent->trace;
        context.sampled = parent->sampled;
    } else {
        fill(context.trace);
        context.sampled = impl_->sampled(context);
    }
    return context;
}

void Tracer::end(Span span)
{
    if (span.context.sampled) impl_->push(std::move(span));
}

std::uint64_t Tracer::exported() const { return impl_->exported(); }
std::uint64_t Tracer::dropped() const { return impl_->dropped(); }

std::unique_ptr<Tracer> make_tracer(TracerOptions options)
{
    if (options.endpoint.empty()) return nullptr;
    return std::make_unique<Tracer>(std::move(options));
}

const Context* current() { return current_context; }

Scope::Scope(const Context& context) : before_(std::exchange(current_context, &context)) {}

Scope::~Scope() { current_context = before_; }

}  // namespace infra::trace
