#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace fuzz {

// SplitMix64: the same numbers from the same seed with every compiler and library, which std's distributions
// do not promise.
class Random {
public:
    explicit Random(std::uint64_t seed) : state_(seed) {}

    std::uint64_t next()
    {
        state_ += 0x9E3779B97F4A7C15U;
        std::uint64_t mixed = state_;
        mixed = (mixed ^ (mixed >> 30U)) * 0xBF58476D1CE4E5B9U;
        mixed = (mixed ^ (mixed >> 27U)) * 0x94D049BB133111EBU;
        return mixed ^ (mixed >> 31U);
    }

    // From 0 to `count` - 1; 0 where there is nothing to choose from.
    std::size_t below(std::size_t count) { return count == 0 ? 0 : static_cast<std::size_t>(next() % count); }
    bool one_in(std::size_t count) { return below(count) == 0; }

    template <class T>
    const T& pick(const std::vector<T>& choices)
    {
        return choices.at(below(choices.size()));
    }

private:
    std::uint64_t state_;
};

}  // namespace fuzz
