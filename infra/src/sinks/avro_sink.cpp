#include "sinks/avro_sink.hpp"

#include "domain/json.hpp"
#include "kafka/avro_encoder.hpp"
#include "kafka/avro_inference.hpp"
#include "kafka/schema_registry.hpp"

#include <chrono>
#include <condition_variable>
#include <csignal>
#include <deque>
#include <iterator>
#include <mutex>
#include <optional>
#include <pthread.h>
#include <thread>
#include <unordered_map>
#include <utility>
#include <variant>

namespace infra::sinks {
namespace {

using domain::DeliveryOutcome;
using domain::Verdict;

// Shapes of payloads that are kept with their ids; more, and all are asked for anew.
constexpr std::size_t schemas_max = 1'000;
// After a registry that did not answer: until then messages fail without asking it.
constexpr std::chrono::seconds registry_pause{1};

struct Job {
    domain::OutboxMessage message;
    app::MessageSink::Done done;
};

DeliveryOutcome ours(std::string reason)
{
    return {.verdict = Verdict::rejected, .error = std::move(reason), .blame = domain::Blame::ours};
}

std::string frame_of(std::uint32_t id, const std::string& body)
{
    std::string frame(1, '\0');
    for (const int shift : {24, 16, 8, 0}) frame += static_cast<char>(id >> shift & 0xFFU);
    return frame + body;
}

}  // namespace

// Of one thread.
class AvroSink::Framer {
public:
    Framer(const std::string& registry_url, std::string schema)
        : registry_(registry_url), schema_(std::move(schema))
    {
        if (!schema_.empty()) kafka::AvroEncoder{schema_};
    }

    // The frame, or why there is none.
    std::variant<std::string, DeliveryOutcome> frame(const domain::OutboxMessage& message)
    {
        const auto payload = domain::parse_json(message.payload);
        if (!payload || !payload->value.is_object()) return ours("the payload is no JSON object");
        std::string text = schema_;
        if (text.empty()) {
            auto inferred = kafka::inferred_schema(payload->value.get_object(), message.topic);
            if (!inferred) return ours("two members of the payload would be the same Avro field");
            text = *std::move(inferred);
        }
        try {
            const auto found = find(text);
            if (const auto* fault = std::get_if<DeliveryOutcome>(&found)) return *fault;
            const auto& known = *std::get<const Known*>(found);
            return frame_of(known.id, known.encoder.encode(payload->value));
        } catch (const std::exception& error) {
            return ours(error.what());
        }
    }

private:
    struct Known {
        kafka::AvroEncoder encoder;
        std::uint32_t id;
    };

    std::variant<const Known*, DeliveryOutcome> find(const std::string& text)
    {
        if (const auto at = known_.find(text); at != known_.end()) return &at->second;
        const DeliveryOutcome unreachable{.verdict = Verdict::retry,
                                          .error = "the schema registry does not answer"};
        if (std::chrono::steady_clock::now() < ask_at_) return unreachable;
        kafka::AvroEncoder encoder(text);
        const auto answer = registry_.register_schema(encoder.record_name(), text);
        if (const auto* refused = std::get_if<kafka::SchemaRefused>(&answer))
            return ours("the schema registry refuses the schema: " + refused->reason);
        if (std::holds_alternative<kafka::RegistryUnreachable>(answer)) {
            ask_at_ = std::chrono::steady_clock::now() + registry_pause;
            return unreachable;
        }
        if (known_.size() >= schemas_max) known_.clear();
        const auto id = std::get<std::uint32_t>(answer);
        return &known_.emplace(text, Known{std::move(encoder), id}).first->second;
    }

    kafka::SchemaRegistry registry_;
    const std::string schema_;
    std::unordered_map<std::string, Known> known_;
    std::chrono::steady_clock::time_point ask_at_{};
};

class AvroSink::Loop {
public:
    Loop(const std::string& registry_url, const std::string& schema, std::unique_ptr<MessageSink> behind)
        : framer_(registry_url, schema), behind_(std::move(behind)), thread_([this] { run(); })
    {
    }

    void submit(Job job)
    {
        {
            const std::lock_guard lock(mutex_);
            if (!stopping_) {
                jobs_.push_back(std::move(job));
                changed_.notify_one();
                return;
            }
        }
        abandon(job.done);
    }

    void stop()
    {
        std::call_once(stop_once_, [this] {
            {
                const std::lock_guard lock(mutex_);
                stopping_ = true;
                changed_.notify_one();
            }
            thread_.join();
            for (const auto& job : jobs_) abandon(job.done);
            behind_->stop();
        });
    }

private:
    static void abandon(const Done& done)
    {
        done({.verdict = Verdict::abandoned, .error = "the sink was stopped"});
    }

    void run()
    {
        sigset_t all;
        sigfillset(&all);
        pthread_sigmask(SIG_BLOCK, &all, nullptr);
        while (auto job = next()) {
            auto framed = framer_.frame(job->message);
            if (auto* fault = std::get_if<DeliveryOutcome>(&framed)) {
                job->done(std::move(*fault));
                continue;
            }
            job->message.payload = std::get<std::string>(std::move(framed));
            behind_->send(job->message, std::move(job->done));
        }
    }

    // Nothing when the sink is being stopped.
    std::optional<Job> next()
    {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
        if (stopping_) return std::nullopt;
        std::optional<Job> job(std::move(jobs_.front()));
        jobs_.pop_front();
        return job;
    }

    Framer framer_;
    const std::unique_ptr<MessageSink> behind_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<Job> jobs_;   // guarded by mutex_
    bool stopping_ = false;  // guarded by mutex_
    std::once_flag stop_once_;
    std::thread thread_;  // last: it uses all of the above
};

AvroSink::AvroSink(const std::string& registry_url, const std::string& schema,
                   std::unique_ptr<MessageSink> behind)
    : loop_(std::make_unique<Loop>(registry_url, schema, std::move(behind)))
{
}

AvroSink::~AvroSink() { stop(); }

void AvroSink::send(const domain::OutboxMessage& message, Done done)
{
    loop_->submit({message, std::move(done)});
}

void AvroSink::stop() { loop_->stop(); }

}  // namespace infra::sinks
