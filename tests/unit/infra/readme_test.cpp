#include "infra/config/load.hpp"

#include <doctest/doctest.h>

#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

TEST_SUITE("infra/readme")
{
    namespace {

    std::string readme_text()
    {
        std::ifstream file(POLIS_SOURCE_DIR "/README.md");
        return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    }

    // The text between two marks, without the line ends beside them.
    std::string between(const std::string& text, std::string_view begin, std::string_view end)
    {
        const auto from = text.find(begin);
        const auto to = text.find(end);
        REQUIRE(from != std::string::npos);
        REQUIRE(to != std::string::npos);
        const auto start = from + begin.size() + 1;
        REQUIRE(start < to);
        return text.substr(start, to - start);
    }

    }  // namespace

    TEST_CASE("the README's table of options is the one that the programs read")
    {
        const auto shown = between(readme_text(), "<!-- options: begin -->", "<!-- options: end -->");
        CHECK_MESSAGE(shown == infra::options_markdown(), "put this between the option marks of README.md:\n"
                                                              << infra::options_markdown());
    }
}
