#include "api/stream_ring.hpp"

#include <doctest/doctest.h>

using infra::api::StreamBlock;
using infra::api::StreamRing;

TEST_SUITE("infra/stream ring")
{
    namespace {

    domain::Uuid id(unsigned number)
    {
        domain::Uuid made{};
        made.data[15] = static_cast<std::uint8_t>(number);
        return made;
    }

    // Events first..last of ten bytes each.
    std::shared_ptr<const StreamBlock> block(unsigned first, unsigned last)
    {
        infra::pg::FeedPage page;
        for (unsigned number = first; number <= last; ++number) {
            page.text += std::string(10, 'x');
            page.entries.push_back({id(number), page.text.size()});
        }
        return std::make_shared<const StreamBlock>(id(first - 1), std::move(page));
    }

    }  // namespace

    TEST_CASE("one who has an event goes on with the next one, also in the middle of a block")
    {
        StreamRing ring(1000);
        CHECK_FALSE(ring.find(id(5)));
        ring.start(id(4));
        ring.append(block(5, 7));
        ring.append(block(8, 9));
        CHECK(ring.find(id(4)) == ring.first());
        CHECK(ring.find(id(6)) == ring.first());
        CHECK(ring.at(ring.first())->offset_behind(id(6)) == 20);
        CHECK(ring.at(ring.first())->offset_behind(id(4)) == 0);
        CHECK(ring.find(id(7)) == ring.first() + 1);
        CHECK(ring.find(id(9)) == ring.end());
        CHECK(ring.end_id() == id(9));
    }

    TEST_CASE("who is ahead of the reader is sent nothing twice")
    {
        StreamRing ring(1000);
        ring.start(id(4));
        CHECK(ring.find(id(6)) == ring.end());
        ring.append(block(5, 8));
        const auto next = ring.find(id(6));
        REQUIRE(next);
        CHECK(ring.at(*next)->offset_behind(id(6)) == 20);
    }

    TEST_CASE("what lies before the ring is not in it")
    {
        StreamRing ring(45);
        ring.start(id(1));
        ring.append(block(2, 3));
        ring.append(block(4, 5));
        CHECK(ring.find(id(1)) == 0);
        ring.append(block(6, 7));  // makes the first block leave
        CHECK_FALSE(ring.find(id(1)));
        CHECK_FALSE(ring.find(id(2)));
        CHECK(ring.find(id(3)) == 1);
        ring.append(block(8, 20));  // larger than the ring, and yet kept
        CHECK(ring.first() + 1 == ring.end());
        CHECK(ring.find(id(7)) == ring.first());
    }

    TEST_CASE("a new start gives no number twice")
    {
        StreamRing ring(1000);
        ring.start(id(1));
        ring.append(block(2, 3));
        const auto end = ring.end();
        ring.start(id(9));
        CHECK(ring.first() == end);
        CHECK_FALSE(ring.find(id(3)));
        CHECK(ring.find(id(9)) == ring.end());
    }
}
