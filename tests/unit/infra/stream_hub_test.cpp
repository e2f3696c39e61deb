// The reader, the hub and followers that come at any time, each on a thread: what ThreadSanitizer looks at.
#include "api/stream_hub.hpp"

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <deque>
#include <mutex>
#include <numeric>
#include <string>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>
#include <vector>

using infra::api::StreamBlock;
using infra::api::StreamHub;

TEST_SUITE("infra/stream hub")
{
    namespace {

    constexpr unsigned events_count = 600;

    domain::Uuid id(unsigned number)
    {
        domain::Uuid made{};
        made.data[14] = static_cast<std::uint8_t>(number >> 8U);
        made.data[15] = static_cast<std::uint8_t>(number);
        return made;
    }

    unsigned number_of(const domain::Uuid& made) { return made.data[14] * 256U + made.data[15]; }

    constexpr std::string_view line_start = "event ";

    std::string line(unsigned number) { return std::string(line_start) + std::to_string(number) + "\n"; }

    std::shared_ptr<const StreamBlock> block(unsigned first, unsigned last)
    {
        infra::pg::FeedPage page;
        for (unsigned number = first; number <= last; ++number) {
            page.text += line(number);
            page.entries.push_back({id(number), page.text.size()});
        }
        return std::make_shared<const StreamBlock>(id(first - 1), std::move(page));
    }

    // What followers ask for that lies before the ring; answered by the reader.
    struct Wishes {
        std::mutex mutex;
        std::deque<std::pair<StreamHub::FollowerId, unsigned>> asked;

        void answer(StreamHub& hub, unsigned appended)
        {
            std::deque<std::pair<StreamHub::FollowerId, unsigned>> now;
            {
                const std::lock_guard lock(mutex);
                now.swap(asked);
            }
            for (const auto& [follower, after] : now) {
                if (after >= appended) {
                    hub.give_past(follower, nullptr, id(appended));
                } else {
                    hub.give_past(follower, block(after + 1, std::min(after + 50, appended)), id(appended));
                }
            }
        }
    };

    // Reads as a browser does: one that is cut comes back behind the last whole event.
    std::vector<unsigned> follow(StreamHub& hub, unsigned after)
    {
        std::vector<unsigned> seen;
        unsigned last = after;
        while (last < events_count) {
            int ends[2];
            REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
            hub.adopt(ends[0], id(last), nullptr);
            std::string text;
            std::array<char, 512> buffer{};
            for (ssize_t size = 0;
                 last < events_count && (size = ::read(ends[1], buffer.data(), buffer.size())) > 0;) {
                text.append(buffer.data(), static_cast<std::size_t>(size));
                for (auto end = text.find('\n'); end != std::string::npos; end = text.find('\n')) {
                    if (text.starts_with(line_start)) {
                        last = static_cast<unsigned>(std::stoul(text.substr(line_start.size(), end)));
                        seen.push_back(last);
                    }
                    text.erase(0, end + 1);
                }
            }
            ::close(ends[1]);
        }
        return seen;
    }

    }  // namespace

    TEST_CASE("followers that come at any time and place get every event once and in order")
    {
        Wishes wishes;
        std::atomic<unsigned> appended = 0;
        std::atomic<bool> finished = false;
        // Small enough that late followers have to ask for the past.
        StreamHub hub(
            {.ring_bytes_max = 2000},
            [&](StreamHub::FollowerId follower, const domain::Uuid& after) {
                const std::lock_guard lock(wishes.mutex);
                wishes.asked.emplace_back(follower, number_of(after));
            },
            [](std::string_view) {});
        std::thread reader([&] {
            hub.start_ring(id(0));
            while (!finished) {
                const auto next = appended + 1;
                if (next <= events_count) {
                    hub.append(block(next, next));
                    appended = next;
                }
                wishes.answer(hub, appended);
                std::this_thread::sleep_for(std::chrono::microseconds(200));
            }
        });

        std::vector<std::vector<unsigned>> seen(8);
        std::vector<std::thread> followers;
        for (unsigned n = 0; n < seen.size(); ++n) {
            followers.emplace_back([&, n] {
                while (appended < n * 60) std::this_thread::yield();
                seen[n] = follow(hub, n * 10);
            });
        }
        for (auto& follower : followers) follower.join();
        finished = true;
        reader.join();
        hub.stop(std::chrono::milliseconds(100));
        for (unsigned n = 0; n < seen.size(); ++n) {
            CAPTURE(n);
            std::vector<unsigned> all(events_count - n * 10);
            std::iota(all.begin(), all.end(), n * 10 + 1);
            CHECK(seen[n] == all);
        }
    }
}
