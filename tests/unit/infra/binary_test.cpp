#include "pg/binary.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

TEST_SUITE("infra/pg/binary")
{
    using infra::pg::BinaryArray;
    using Element = BinaryArray::Element;
    using namespace std::chrono_literals;

    namespace {

    // "00 00 00 01 ..." without blanks.
    std::string hex(BinaryArray& array)
    {
        const auto param = array.param();
        CHECK(param.format == 1);
        std::string out;
        for (int i = 0; i < param.size; ++i) {
            const auto byte = static_cast<unsigned char>(param.data[i]);
            out.push_back("0123456789abcdef"[byte >> 4]);
            out.push_back("0123456789abcdef"[byte & 0xF]);
        }
        return out;
    }

    // array_recv of PostgreSQL: dimensions, has-null flag, element type, length, lower bound.
    std::string header(std::string has_null, std::string type, std::string count)
    {
        return "00000001"
               "0000000" +
               has_null + type + count + "00000001";
    }

    }  // namespace

    TEST_CASE("integers are big-endian with their length in front")
    {
        BinaryArray small(Element::int2);
        small.add(std::int16_t{0});
        small.add(std::int16_t{-2});
        small.add(std::numeric_limits<std::int16_t>::max());
        CHECK(hex(small) == header("0", "00000015", "00000003") +
                                "000000020000"
                                "00000002fffe"
                                "000000027fff");

        BinaryArray large(Element::int8);
        large.add(std::int64_t{1});
        large.add(std::int64_t{-1});
        large.add(std::numeric_limits<std::int64_t>::min());
        large.add(std::int64_t{0x0123456789ABCDEF});
        CHECK(hex(large) == header("0", "00000014", "00000004") +
                                "000000080000000000000001"
                                "00000008ffffffffffffffff"
                                "000000088000000000000000"
                                "000000080123456789abcdef");
    }

    TEST_CASE("a null has the length -1 and sets the flag")
    {
        BinaryArray texts(Element::text);
        texts.add_text("ab");
        texts.add_null();
        texts.add_text("");
        CHECK(hex(texts) == header("1", "00000019", "00000003") +
                                "000000026162"
                                "ffffffff"
                                "00000000");
    }

    TEST_CASE("an empty array has a header alone")
    {
        BinaryArray none(Element::uuid);
        CHECK(hex(none) == header("0", "00000b86", "00000000"));
    }

    TEST_CASE("jsonb has its version byte in front, and text may hold any byte")
    {
        BinaryArray documents(Element::jsonb);
        documents.add_json("{}");
        CHECK(hex(documents) == header("0", "00000eda", "00000001") +
                                    "00000003"
                                    "017b7d");
        BinaryArray texts(Element::text);
        texts.add_text({"\0\xFF", 2});
        CHECK(hex(texts) == header("0", "00000019", "00000001") +
                                "00000002"
                                "00ff");
    }

    TEST_CASE("UUIDs are their 16 bytes")
    {
        BinaryArray ids(Element::uuid);
        ids.add(domain::parse_uuid("017f22e2-79b0-7cc3-98c4-dc0c0c07398f").value());
        CHECK(hex(ids) == header("0", "00000b86", "00000001") +
                              "00000010"
                              "017f22e279b07cc398c4dc0c0c07398f");
    }

    TEST_CASE("times are microseconds since 2000")
    {
        BinaryArray times(Element::timestamptz);
        const domain::TimePoint y2000 = std::chrono::sys_days{std::chrono::year{2000} / 1 / 1};
        times.add_time(y2000);
        times.add_time(y2000 + 1s + 1us);
        times.add_time(domain::TimePoint{});
        // 946,684,800 s lie between 1970 and 2000.
        CHECK(hex(times) == header("0", "000004a0", "00000003") +
                                "000000080000000000000000"
                                "0000000800000000000f4241"
                                "00000008fffca2fec4c82000");
    }

    TEST_CASE("an array may be read, grow and be read again")
    {
        BinaryArray array(Element::int2);
        array.add(std::int16_t{1});
        CHECK(hex(array) == header("0", "00000015", "00000001") + "000000020001");
        array.add(std::int16_t{2});
        CHECK(hex(array) == header("0", "00000015", "00000002") +
                                "000000020001"
                                "000000020002");
    }

    TEST_CASE("UUID arrays as text are PostgreSQL's, both ways")
    {
        const auto id = domain::parse_uuid("017f22e2-79b0-7cc3-98c4-dc0c0c07398f").value();
        struct Row {
            std::vector<std::optional<domain::Uuid>> ids;
            std::string text;
        };
        const Row rows[] = {
            {{}, "{}"},
            {{std::nullopt}, "{NULL}"},
            {{id}, "{017f22e2-79b0-7cc3-98c4-dc0c0c07398f}"},
            {{std::nullopt, id, std::nullopt}, "{NULL,017f22e2-79b0-7cc3-98c4-dc0c0c07398f,NULL}"},
        };
        for (const Row& row : rows) {
            CAPTURE(row.text);
            CHECK(infra::pg::uuid_array_text(row.ids) == row.text);
            CHECK(infra::pg::parse_uuid_array(row.text) == row.ids);
        }
        CHECK(infra::pg::parse_uuid_array("").empty());
    }
}
