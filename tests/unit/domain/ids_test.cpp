#include "domain/ids.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

TEST_SUITE("domain/ids")
{
    using domain::IdTick;
    using domain::TimePoint;
    using domain::Uuid;
    using std::chrono::microseconds;
    using std::chrono::milliseconds;

    namespace {

    constexpr std::uint64_t random_all_ones = ~std::uint64_t{0};
    // RFC 9562, appendix A.6: 2022-02-22 19:22:22 UTC.
    constexpr std::string_view rfc_example = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f";
    constexpr std::int64_t rfc_example_ms = 1645557742000;

    Uuid uuid(std::string_view text) { return domain::parse_uuid(text).value(); }

    }  // namespace

    TEST_CASE("the example of RFC 9562 is the member of a family")
    {
        const Uuid example = uuid(rfc_example);
        CHECK(domain::id_time(example) == TimePoint{milliseconds{rfc_example_ms}});
        CHECK(domain::id_tick(example) == std::uint64_t{1645557742000} * 4096 + 0xCC3);
        CHECK(domain::family_ordinal(example) == 0x8F);
        CHECK(domain::to_string(domain::family_base(example)) == "017f22e2-79b0-7cc3-98c4-dc0c0c073900");

        const Uuid base = domain::family_id(domain::id_tick(example), 0x18C4DC0C0C0739);
        CHECK(base == domain::family_base(example));
        CHECK(domain::family_member(base, 0x8F) == example);
    }

    TEST_CASE("version and variant stand whatever the clock and the random bits")
    {
        for (const IdTick tick : {IdTick{0}, IdTick{4095}, IdTick{0xFFFFFFFFFFFFFFF}}) {
            for (const std::uint64_t random : {std::uint64_t{0}, random_all_ones}) {
                CAPTURE(tick);
                CAPTURE(random);
                const Uuid id = domain::family_id(tick, random);
                CHECK((id.data[6] & 0xF0) == 0x70);
                CHECK((id.data[8] & 0xC0) == 0x80);
                CHECK(domain::id_tick(id) == tick);
                CHECK(domain::family_ordinal(id) == 0);
            }
        }
        CHECK(domain::to_string(domain::family_id(0, 0)) == "00000000-0000-7000-8000-000000000000");
        CHECK(domain::to_string(domain::family_id(0, random_all_ones)) ==
              "00000000-0000-7000-bfff-ffffffffff00");
    }

    TEST_CASE("only the lower 54 bits of the random number are used")
    {
        CHECK(domain::family_id(7, random_all_ones) == domain::family_id(7, (std::uint64_t{1} << 54) - 1));
        CHECK(domain::family_id(7, std::uint64_t{1} << 54) == domain::family_id(7, 0));
        CHECK(domain::family_id(7, std::uint64_t{1} << 53) != domain::family_id(7, 0));
    }

    TEST_CASE("a tick is 1/4096 of a millisecond")
    {
        struct Row {
            std::int64_t us;
            IdTick tick;
        };
        const Row rows[] = {
            {0, 0},      {1, 4},       {250, 1024},         {500, 2048},
            {999, 4091}, {1000, 4096}, {1500, 4096 + 2048}, {rfc_example_ms * 1000, 6740204511232000},
        };
        for (const Row& row : rows) {
            CAPTURE(row.us);
            CHECK(domain::id_tick_at(TimePoint{microseconds{row.us}}) == row.tick);
        }
    }

    TEST_CASE("ids sort by tick, then by family, then by ordinal, as bytes and as text")
    {
        const std::vector<Uuid> in_order = {
            domain::family_id(4095, random_all_ones),
            domain::family_member(domain::family_id(4095, random_all_ones), 255),
            domain::family_id(4096, 0),
            domain::family_member(domain::family_id(4096, 0), 1),
            domain::family_member(domain::family_id(4096, 0), 2),
            domain::family_member(domain::family_id(4096, 0), 255),
            domain::family_id(4096, 1),
            domain::family_id(4097, 0),
        };
        for (std::size_t i = 1; i < in_order.size(); ++i) {
            CAPTURE(i);
            CHECK(in_order[i - 1] < in_order[i]);
            CHECK(domain::to_string(in_order[i - 1]) < domain::to_string(in_order[i]));
        }
    }

    TEST_CASE("members of a family differ in the last byte alone")
    {
        const Uuid base = domain::family_id(123456789, 0x2A5A5A5A5A5A5A);
        for (const unsigned ordinal : {0U, 1U, 2U, 255U}) {
            CAPTURE(ordinal);
            const Uuid member = domain::family_member(base, ordinal);
            CHECK(domain::family_ordinal(member) == ordinal);
            CHECK(domain::family_base(member) == base);
            CHECK(std::equal(base.begin(), base.end() - 1, member.begin()));
            CHECK(domain::family_member(member, 9) == domain::family_member(base, 9));
        }
    }

    TEST_CASE("the first id of a millisecond bounds its events from below")
    {
        const TimePoint time{milliseconds{rfc_example_ms}};
        const Uuid first = domain::first_id_at(time);
        CHECK(domain::to_string(first) == "017f22e2-79b0-7000-8000-000000000000");
        CHECK(domain::first_id_at(time + microseconds{999}) == first);
        CHECK(domain::first_id_at(time + milliseconds{1}) > uuid(rfc_example));

        const IdTick tick = domain::id_tick_at(time);
        CHECK(first <= domain::family_id(tick, 0));
        CHECK(first > domain::family_member(domain::family_id(tick - 1, random_all_ones), 255));
    }

    TEST_CASE("only the 36-character form of a UUID is read")
    {
        struct Row {
            std::string text;
            bool good;
        };
        const Row rows[] = {
            {"017f22e2-79b0-7cc3-98c4-dc0c0c07398f", true},
            {"017F22E2-79B0-7CC3-98C4-DC0C0C07398F", true},
            {"00000000-0000-0000-0000-000000000000", true},
            {"", false},
            {"017f22e279b07cc398c4dc0c0c07398f", false},
            {"{017f22e2-79b0-7cc3-98c4-dc0c0c07398f}", false},
            {"017f22e2-79b0-7cc3-98c4-dc0c0c07398", false},
            {"017f22e2-79b0-7cc3-98c4-dc0c0c07398f0", false},
            {"017f22e2-79b0-7cc3-98c4-dc0c0c07398g", false},
            {"017f22e2-79b0-7cc3-98c4-dc0c0c0739 f", false},
            {"017f22e2-79b0-7cc3-98c4-dc0c0c07398/", false},
            {"017f22e2-79b0-7cc3-98c4-dc0c0c07398:", false},
            {"017f22e2-79b0-7cc3-98c4-dc0c0c07398@", false},
            {"017f22e2-79b0-7cc3-98c4-dc0c0c07398`", false},
            {"017f22e2079b0-7cc3-98c4-dc0c0c07398f", false},
            {"017f22e2-79b0-7cc3-98c4+dc0c0c07398f", false},
            {"017f22e-279b0-7cc3-98c4-dc0c0c07398f", false},
        };
        for (const Row& row : rows) {
            CAPTURE(row.text);
            CHECK(domain::parse_uuid(row.text).has_value() == row.good);
        }
        CHECK(domain::to_string(uuid("017F22E2-79B0-7CC3-98C4-DC0C0C07398F")) == rfc_example);
    }

    TEST_CASE("key digests are version 5 UUIDs of service, NUL and key")
    {
        struct Row {
            std::string service;
            std::string key;
            std::string digest;
        };
        // From uuid.uuid5 of Python with the namespace 8f1d5a3c-0b62-4e0f-9a77-216cd438ee05. They are stored
        // as primary keys, so they may never change.
        const Row rows[] = {
            {"health", "a", "2eba7338-f8b1-50b1-bbd6-27077085b5f5"},
            {"security", "health_emergency_123", "034994ab-fd83-53af-8908-a976ab70e9a4"},
            {"a", std::string("b\0c", 3), "29145366-757e-57e1-bf2a-5a47948c7a6a"},
            {"ab", "c", "bb14783f-cc48-53fc-b9e1-3d180e3d12d9"},
            {"a", "bc", "20a979f5-89b2-5a32-b71d-878e3dcbd509"},
            {"", "", "a381a2bc-94e6-54e3-b70c-95c5ffc67688"},
            {"x", "\xD0\xBA\xD0\xBB\xD1\x8E\xD1\x87", "d01c8928-16c4-5623-a338-e0d91a99f5f3"},
        };
        for (const Row& row : rows) {
            CAPTURE(row.service);
            CAPTURE(row.key);
            CHECK(domain::to_string(domain::key_digest(row.service, row.key)) == row.digest);
        }
    }
}
