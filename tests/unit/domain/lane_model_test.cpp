#include "domain/lane.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <utility>
#include <vector>

// Random days of a lane: messages of few keys, random outcomes, hand-overs and crashes. Whatever happens, the
// log is delivered as promised.
TEST_SUITE("domain/lane: model")
{
    using domain::Lane;
    using domain::OutboxMessage;
    using domain::ShelfEntry;
    using domain::TimePoint;
    using domain::Verdict;
    using namespace std::chrono_literals;

    namespace {

    constexpr std::uint32_t attempts_max = 3;
    constexpr domain::LaneLimits limits{.window_rows_max = 24, .shelf_rows_max = 36};
    constexpr auto step_max = 100ms;
    // Each of the two times that a row may have to wait ends with the step after it.
    constexpr auto unwritten_max = 2 * (limits.overtaken_max + step_max);

    // What a store keeps, by the rules of Settlement.
    struct Stored {
        std::int64_t acked = 0;
        std::map<std::int64_t, ShelfEntry> shelf;
        std::set<std::int64_t> finished;  // by way of the shelf, ahead of the cursor, or dead
        std::map<std::int64_t, ShelfEntry> dead;

        void write(const domain::Settlement& settlement)
        {
            REQUIRE(settlement.acked_seq >= acked);
            REQUIRE(settlement.cursor_moved == (settlement.acked_seq > acked));
            acked = settlement.acked_seq;
            std::set<std::int64_t> touched;
            for (const auto& entry : settlement.shelved) {
                REQUIRE(touched.insert(entry.seq).second);  // one row per statement
                REQUIRE_FALSE(finished.contains(entry.seq));
                shelf[entry.seq] = entry;
            }
            for (const auto seq : settlement.delivered) {
                REQUIRE(touched.insert(seq).second);
                REQUIRE(shelf.erase(seq) == 1);
                REQUIRE(finished.insert(seq).second);
            }
            for (const auto& row : settlement.ahead) {
                REQUIRE(touched.insert(row.seq).second);
                REQUIRE_FALSE(shelf.contains(row.seq));
                REQUIRE(finished.insert(row.seq).second);
            }
            for (const auto& entry : settlement.dead) {
                REQUIRE(touched.insert(entry.seq).second);
                shelf.erase(entry.seq);
                REQUIRE(dead.emplace(entry.seq, entry).second);
                REQUIRE(finished.insert(entry.seq).second);
            }
        }
    };

    class Day {
    public:
        Day(unsigned seed, bool crashes) : random_(seed), crashes_(crashes), lane_(lease())
        {
            const int rows = 150;
            std::int64_t seq = 0;
            for (int i = 0; i < rows; ++i) {
                seq += 1 + below(3);
                // Half of them are of one key, so the others overtake it.
                log_.push_back({0, seq, below(2) * below(6), {}, "event.x", "{}"});
            }
        }

        void run()
        {
            for (int step = 0; step < 20000 && !at_end(); ++step) cycle();
            REQUIRE(at_end());
        }

        void check() const
        {
            CHECK(stored_.acked == log_.back().seq);
            CHECK(stored_.shelf.empty());
            CHECK(lane_.in_flight() == 0);
            for (const auto& message : log_) {
                CAPTURE(message.seq);
                const auto times = deliveries_.contains(message.seq) ? deliveries_.at(message.seq) : 0;
                const bool dead = stored_.dead.contains(message.seq);
                if (crashes_) {
                    CHECK(times + (dead ? 1 : 0) >= 1);
                } else {
                    CHECK(times + (dead ? 1 : 0) == 1);
                }
                if (dead && stored_.dead.at(message.seq).last_error == "timeout")
                    CHECK(stored_.dead.at(message.seq).attempts == attempts_max);
            }
        }

    private:
        std::int64_t below(int bound)
        {
            return std::uniform_int_distribution<std::int64_t>(0, bound - 1)(random_);
        }

        Lane lease()
        {
            std::vector<ShelfEntry> shelf;
            for (const auto& [seq, entry] : stored_.shelf) shelf.push_back(entry);
            std::set<std::int64_t> beyond(stored_.finished.upper_bound(stored_.acked),
                                          stored_.finished.end());
            return Lane(0, stored_.acked, std::move(shelf), std::move(beyond), {attempts_max, 100ms, 1000ms},
                        limits, [this] { return static_cast<double>(below(1000)) / 1000.0; });
        }

        bool at_end() const
        {
            return stored_.acked == log_.back().seq && stored_.shelf.empty() && in_flight_.empty();
        }

        // The order of the worker: outcomes, write, what is due, read, send.
        void cycle()
        {
            now_ += std::chrono::milliseconds{below(step_max.count())};
            settle(below(4));
            if (below(10) == 0) lane_.shelve_all_overtaken();
            lane_.secure_overtaking(now_);
            write();
            if (below(60) == 0) replace_worker();
            for (const auto seq : lane_.take_due(now_)) send(seq);
            if (below(3) == 0) read();
            for (auto n = below(6); n > 0; --n) {
                const auto* message = lane_.take();
                if (message == nullptr) break;
                send(message->seq);
            }
        }

        void read()
        {
            const auto room = std::min<std::size_t>(lane_.room(), static_cast<std::size_t>(1 + below(8)));
            std::vector<OutboxMessage> rows;
            for (const auto& message : log_) {
                if (message.seq > lane_.read_after() && rows.size() < room) rows.push_back(message);
            }
            lane_.offer(std::move(rows));
        }

        void send(std::int64_t seq)
        {
            REQUIRE(std::find(in_flight_.begin(), in_flight_.end(), seq) == in_flight_.end());
            REQUIRE_FALSE(stored_.dead.contains(seq));
            const auto key = key_of(seq);
            for (const auto other : in_flight_) REQUIRE(key_of(other) != key);
            // Every earlier message of the key is at its end.
            for (const auto& message : log_) {
                if (message.key_hash != key || message.seq >= seq) continue;
                REQUIRE((deliveries_.contains(message.seq) || ended_dead_.contains(message.seq)));
            }
            in_flight_.push_back(seq);
        }

        void settle(std::int64_t count)
        {
            for (; count > 0 && !in_flight_.empty(); --count) {
                const auto at = in_flight_.begin() + below(static_cast<int>(in_flight_.size()));
                const auto seq = *at;
                in_flight_.erase(at);
                const auto luck = below(10);
                if (luck < 6) {
                    ++deliveries_[seq];
                    unwritten_.emplace(seq, now_);
                    lane_.settle(seq, {Verdict::delivered}, now_);
                } else if (luck < 9) {
                    lane_.settle(seq, {Verdict::retry, "timeout"}, now_);
                } else {
                    lane_.settle(seq, {Verdict::rejected, "HTTP 400"}, now_);
                }
            }
        }

        void write()
        {
            const auto settlement = lane_.take_settlement();
            for (const auto& entry : settlement.dead) ended_dead_.insert(entry.seq);
            stored_.write(settlement);
            // What is delivered is written soon, whatever the rows before it do.
            std::erase_if(unwritten_, [this](const auto& one) {
                return one.first <= stored_.acked || stored_.finished.contains(one.first);
            });
            for (const auto& [seq, at] : unwritten_) REQUIRE(now_ - at < unwritten_max);
            // No row is passed by the cursor that is neither at its end nor on the shelf.
            for (const auto& message : log_) {
                if (message.seq > stored_.acked) break;
                REQUIRE((deliveries_.contains(message.seq) || stored_.finished.contains(message.seq) ||
                         stored_.shelf.contains(message.seq)));
            }
        }

        // A hand-over waits for what is in flight, or calls it abandoned; a crash forgets it.
        void replace_worker()
        {
            if (crashes_ && below(2) == 0) {
                settle(below(4));  // outcomes that nobody wrote down
            } else {
                settle(below(static_cast<int>(in_flight_.size()) + 1));
                for (const auto seq : in_flight_) lane_.settle(seq, {Verdict::abandoned}, now_);
                lane_.shelve_all_overtaken();
                write();
            }
            in_flight_.clear();
            unwritten_.clear();
            lane_ = lease();
        }

        std::int64_t key_of(std::int64_t seq) const
        {
            const auto at =
                std::find_if(log_.begin(), log_.end(), [seq](const auto& m) { return m.seq == seq; });
            return at->key_hash;
        }

        std::mt19937 random_;
        bool crashes_;
        TimePoint now_ = std::chrono::sys_days{std::chrono::year{2026} / 11 / 21};
        std::vector<OutboxMessage> log_;
        Stored stored_;
        Lane lane_;
        std::vector<std::int64_t> in_flight_;
        std::map<std::int64_t, int> deliveries_;
        std::map<std::int64_t, TimePoint> unwritten_;  // delivered, and repeated if the worker dies now
        std::set<std::int64_t> ended_dead_;
    };

    }  // namespace

    TEST_CASE("with hand-overs alone, every message is delivered or dead exactly once, in order per key")
    {
        for (unsigned seed = 1; seed <= 60; ++seed) {
            CAPTURE(seed);
            Day day(seed, false);
            day.run();
            day.check();
        }
    }

    TEST_CASE("with crashes, every message is delivered or dead at least once, in order per key")
    {
        for (unsigned seed = 1001; seed <= 1060; ++seed) {
            CAPTURE(seed);
            Day day(seed, true);
            day.run();
            day.check();
        }
    }
}
