#pragma once

#include "fuzz/random.hpp"

#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

// Seeded random tests: inputs are made and checked for FUZZ_SECONDS (default 2). What fails, throws, crashes
// or hangs is printed as hexadecimal digits, and FUZZ_INPUT=<digits> checks just that input again; FUZZ_SEED
// repeats a whole run.
namespace fuzz {

// Makes the next input.
using Source = std::function<std::string(Random&)>;

// Throws where the input shows a fault.
using Check = std::function<void(const std::string& input)>;

class Failed : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

inline void require(bool holds, const std::string& what)
{
    if (!holds) throw Failed(what);
}

// For a test case of doctest: fails it at the first input that `check` does not pass.
void run(const Source& source, const Check& check);

struct Corpus {
    std::vector<std::string> seeds;
    std::vector<std::string> tokens;  // what mutations insert
};

// A seed, changed in one to six places.
Source mutated(Corpus corpus);

// Some lines of tests/data/city-events.jsonl, spread over the whole file.
std::vector<std::string> city_event_lines();

// Random JSON, mostly valid, with the numbers, texts and depths where readers differ.
std::string random_json(Random& random);

std::vector<std::string> json_seeds();
std::vector<std::string> json_tokens();

bool is_valid_utf8(std::string_view text);
bool has_control_characters(std::string_view text);

}  // namespace fuzz
