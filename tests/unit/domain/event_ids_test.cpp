#include "domain/ingest.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <set>
#include <string>

TEST_SUITE("domain/ingest: ids and lanes")
{
    using domain::FamilyIds;
    using domain::TimePoint;
    using domain::Uuid;
    using namespace std::chrono_literals;

    namespace {

    constexpr TimePoint now = std::chrono::sys_days{std::chrono::year{2026} / 11 / 21} + 4h + 123456us;

    }  // namespace

    TEST_CASE("ids start at the clock and go up by one tick, whatever the random bits")
    {
        std::uint64_t random = ~std::uint64_t{0};
        FamilyIds ids(now, std::nullopt, [&random] { return random--; });
        CHECK(ids.now() == now);
        const auto tick = domain::id_tick_at(now);
        Uuid previous{};
        for (unsigned i = 0; i < 5000; ++i) {
            const Uuid id = ids.next();
            REQUIRE(domain::id_tick(id) == tick + i);
            REQUIRE(id > previous);
            previous = id;
        }
    }

    TEST_CASE("ids follow the newest that is stored")
    {
        const auto tick = domain::id_tick_at(now);
        struct Row {
            const char* name;
            domain::IdTick stored;
            domain::IdTick first;
        };
        const Row rows[] = {
            {"an older one is no matter", tick - 1000, tick},
            {"the tick before", tick - 1, tick},
            {"the same tick", tick, tick + 1},
            {"a clock that went back an hour", tick + 4096ULL * 3600 * 1000,
             tick + 4096ULL * 3600 * 1000 + 1},
        };
        for (const Row& row : rows) {
            const std::string name = row.name;
            CAPTURE(name);
            // A derived event may be the newest of its family.
            const Uuid stored = domain::family_member(domain::family_id(row.stored, ~std::uint64_t{0}), 255);
            FamilyIds ids(now, stored, [] { return std::uint64_t{0}; });
            const Uuid id = ids.next();
            CHECK(domain::id_tick(id) == row.first);
            CHECK(id > stored);
        }
    }

    TEST_CASE("the random bits of an id are the generator's")
    {
        FamilyIds ids(now, std::nullopt, [] { return std::uint64_t{0x2A5A5A5A5A5A5A}; });
        CHECK(ids.next() == domain::family_id(domain::id_tick_at(now), 0x2A5A5A5A5A5A5A));
    }

    TEST_CASE("the ordering hash is FNV-1a of 64 bits")
    {
        struct Row {
            std::string key;
            std::uint64_t hash;
            std::int16_t lane;
        };
        // The first three are from the authors' test suite; lanes are (hash >> 40) mod 16.
        const Row rows[] = {
            {"", 0xcbf29ce484222325, 12},
            {"a", 0xaf63dc4c8601ec8c, 12},
            {"foobar", 0x85944171f73967e8, 1},
            {"health_emergency_123", 0xcfa4c1dfefe0d562, 1},
            {"critical_energy_usage_downtown", 0xa7a98a4fd9141d62, 10},
            {"caf\xC3\xA9", 0x48e8823acfa40d89, 2},
            {"critical_energy_usage_None", 0x585528d7bfac66d8, 8},
        };
        for (const Row& row : rows) {
            CAPTURE(row.key);
            const auto hash = domain::ordering_hash(row.key);
            CHECK(static_cast<std::uint64_t>(hash) == row.hash);
            CHECK(domain::lane_of(hash) == row.lane);
        }
        CHECK(domain::ordering_hash(std::string("\0", 1)) != domain::ordering_hash(""));
        CHECK(domain::ordering_hash("\xFF") != domain::ordering_hash("\x7F"));
    }

    TEST_CASE("keys spread over all of the 16 lanes")
    {
        CHECK(domain::lane_count == 16);
        std::size_t per_lane[16] = {};
        for (int i = 0; i < 16000; ++i) {
            const auto lane = domain::lane_of(domain::ordering_hash("health_emergency_" + std::to_string(i)));
            REQUIRE(lane >= 0);
            REQUIRE(lane < 16);
            ++per_lane[lane];
        }
        for (const auto count : per_lane) {
            CHECK(count > 700);
            CHECK(count < 1300);
        }
        for (const std::int64_t hash : {INT64_MIN, std::int64_t{-1}, std::int64_t{0}, INT64_MAX}) {
            CAPTURE(hash);
            CHECK(domain::lane_of(hash) >= 0);
            CHECK(domain::lane_of(hash) < 16);
        }
    }
}
