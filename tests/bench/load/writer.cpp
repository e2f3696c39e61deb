// The event log's writer alone, without HTTP and JSON parsing: `bench-writer DATABASE_URL RUN EVENTS`. The
// events are prepared beforehand, the same mix as load/ingest.lua; at most `outstanding_max` appends of 100
// wait at any time. With a fourth argument `steps` every event is a step of a workflow: city guides from the
// route to the second audio.
#include "app/ingest.hpp"
#include "domain/service_registry.hpp"
#include "infra/pg/event_writer.hpp"

#include <array>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <semaphore>
#include <string>
#include <sys/resource.h>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
using Append = std::vector<domain::PreparedEvent>;

constexpr std::size_t events_per_append = 100;
constexpr std::ptrdiff_t outstanding_max = 64;

std::string body_of(std::string_view service, const std::string& n, std::uint64_t i)
{
    if (service == "health")
        return R"({"patient_id":)" + n + R"(,"alert":"emergency","location":"ward )" +
               std::to_string(i % 97) + R"("})";
    if (service == "energy")
        return R"({"energy":)" + std::to_string(501 + i % 400) + R"(.5,"neighborhood":"district )" + n +
               R"("})";
    if (service == "transport")
        return R"({"bus_id":)" + n + R"(,"lat":41.38)" + std::to_string(i % 1000) + R"(,"lon":2.17)" +
               std::to_string(i % 1000) + "}";
    return R"({"alert":true,"camera_trigger":"camera )" + n + R"("})";
}

std::vector<Append> make_appends(const app::PrepareEvent& prepare, std::uint64_t run, std::size_t events)
{
    constexpr std::array services{"health", "energy", "transport", "security"};
    std::vector<Append> appends(events / events_per_append);
    std::uint64_t i = 0;
    for (auto& append : appends) {
        append.reserve(events_per_append);
        for (std::size_t k = 0; k < events_per_append; ++k, ++i) {
            const std::string service = services[i % services.size()];
            const auto n = std::to_string(run * 10'000'000 + i);
            const auto text = body_of(service, n, i);
            const auto document = domain::parse_json(text);
            app::Envelope envelope;
            if (i / services.size() % 2 == 0) envelope.request_key = "request-" + n;
            append.push_back(*prepare.prepare(service, *document, std::move(envelope)));
        }
    }
    return appends;
}

// Every route is confirmed, gets two stories and hears both: four turns with five messages.
std::vector<Append> make_steps(const app::PrepareEvent& prepare, std::uint64_t run, std::size_t events)
{
    std::vector<Append> appends(events / events_per_append);
    const std::size_t routes = appends.size() * events_per_append / 4;
    const auto say = [&](std::size_t i, std::string_view service, const std::string& rest) {
        const auto text =
            R"({"route_id":")" + std::to_string(run) + "-" + std::to_string(i % routes) + '"' + rest + "}";
        const auto document = domain::parse_json(text);
        appends[i / events_per_append].push_back(*prepare.prepare(service, *document, {}));
    };
    for (std::size_t i = 0; i < appends.size() * events_per_append; ++i) {
        const auto phase = i / routes;
        if (phase == 0) {
            say(i, "route.confirmed", R"(,"mode":"foot")");
        } else if (phase == 1) {
            say(i, "story.generate.completed",
                R"(,"stories":[{"story_id":"a","markdown":"One."},{"story_id":"b","markdown":"Two."}])");
        } else {
            say(i, "tts.completed",
                phase == 2 ? R"(,"story_id":"a","audio_id":"x")" : R"(,"story_id":"b","audio_id":"y")");
        }
    }
    return appends;
}

double cpu_seconds()
{
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](const timeval& t) {
        return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
    };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

}  // namespace

int main(int argc, char** argv)
{
    if (argc != 4 && argc != 5) return 2;
    domain::ServiceRegistry registry;
    domain::register_builtin_services(registry);
    domain::workflow::Registry workflows;
    domain::workflow::register_builtin_workflows(workflows, {});
    const app::PrepareEvent prepare(registry, {}, &workflows);
    const auto make = argc == 5 ? make_steps : make_appends;
    auto appends = make(prepare, std::strtoull(argv[2], nullptr, 10), std::strtoull(argv[3], nullptr, 10));

    infra::pg::EventWriterOptions options;
    options.database_url = argv[1];
    options.workflows = &workflows;
    std::atomic<std::size_t> batches = 0;
    std::atomic<std::size_t> stored = 0;
    infra::pg::EventWriter writer(options, [&](const infra::pg::CommittedBatch&) { ++batches; });
    std::counting_semaphore<outstanding_max> free_places(outstanding_max);
    const double cpu_before = cpu_seconds();
    const auto begin = Clock::now();
    for (auto& append : appends) {
        free_places.acquire();
        writer.append(std::move(append), [&](const app::AppendResult& result) {
            stored += result.events.size();
            free_places.release();
        });
    }
    for (std::ptrdiff_t i = 0; i < outstanding_max; ++i) free_places.acquire();
    const std::chrono::duration<double> seconds = Clock::now() - begin;
    const double cpu = cpu_seconds() - cpu_before;
    writer.stop();
    std::cout << "{\"events\":" << stored << ",\"seconds\":" << seconds.count() << ",\"batches\":" << batches
              << ",\"cpu_seconds\":" << cpu << "}\n";
    return stored == appends.size() * events_per_append ? 0 : 1;
}
