#include "propagator/payload_file.hpp"

#include "unit/infra/config_support.hpp"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>

using config_support::contains;
using config_support::joined;
using infra::propagator::PayloadFile;
using infra::propagator::read_payload_file;

namespace {

class File {
public:
    explicit File(const std::string& text)
        : path_(std::filesystem::temp_directory_path() / ("polis-payloads-" + std::to_string(::getpid())))
    {
        std::ofstream(path_, std::ios::binary) << text;
    }
    ~File() { std::filesystem::remove(path_); }
    File(const File&) = delete;
    File& operator=(const File&) = delete;

    PayloadFile read(bool templates = false) const { return read_payload_file(path_, templates); }

private:
    std::filesystem::path path_;
};

}  // namespace

TEST_SUITE("infra/propagator/payload_file")
{
    TEST_CASE("payloads keep the text they have in the file")
    {
        const File file("\n[ {\"event_type\":123, \"x\" : 1.50} ,\n{}]\n");
        const auto read = file.read();
        REQUIRE_MESSAGE(read.faults.empty(), joined(read.faults));
        REQUIRE(read.payloads.size() == 2);
        CHECK(*read.payloads[0].render(0, {}, {}) == R"({"event_type":123, "x" : 1.50})");
        CHECK(*read.payloads[1].render(0, {}, {}) == "{}");
    }

    TEST_CASE("each bad file has its own message")
    {
        struct Row {
            const char* text;
            const char* message;
        };
        for (const auto& row :
             {Row{"[{\"a\":}]", "contains invalid JSON: "}, Row{"", "contains invalid JSON: "},
              Row{"nonsense", "contains invalid JSON: "}, Row{"[{}", "contains invalid JSON: "},
              Row{"{\"a\":1}", "Payload file must be a JSON array"},
              Row{"3", "Payload file must be a JSON array"}, Row{"[]", "Payload file is empty"},
              Row{"[{}, 5]", "element 1: Each payload must be a JSON object"},
              Row{"[[]]", "Each payload must be a JSON object"}}) {
            CAPTURE(row.text);
            const auto read = File(row.text).read();
            REQUIRE(read.faults.size() == 1);
            CHECK_MESSAGE(contains(read.faults[0], row.message), read.faults[0]);
        }
        CHECK(contains(read_payload_file("/nowhere/at all.json", false).faults.at(0),
                       "Payload file not found: /nowhere/at all.json"));
        CHECK(contains(read_payload_file("/", false).faults.at(0), "Payload file cannot be read"));
        CHECK(contains(read_payload_file("/dev/zero", false).faults.at(0), "Payload file cannot be read"));
    }

    TEST_CASE("all faults are told, up to a limit")
    {
        CHECK(File("[1, {}, 2, null]").read().faults.size() == 3);
        std::string many = "[0";
        for (int i = 0; i < 100; ++i) many += ",1";
        CHECK(File(many + "]").read().faults.size() == 20);
    }

    TEST_CASE("placeholders count only when they are asked for")
    {
        const File file(R"([{"a":"{{nonsense}}"}])");
        CHECK(file.read(false).faults.empty());
        REQUIRE(file.read(true).faults.size() == 1);
        CHECK(contains(file.read(true).faults[0], "{{nonsense}}"));
    }
}
