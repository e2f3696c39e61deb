#pragma once

#include "domain/ids.hpp"
#include "domain/result.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace domain::propagation {

// Uniform over all 64 bits.
using RandomBits = std::function<std::uint64_t()>;

// Uniform in [0, bound), `bound` at least 1; the same on every platform for the same bits.
std::uint64_t random_below(const RandomBits& bits, std::uint64_t bound);

// A version 4 UUID.
Uuid random_uuid(const RandomBits& bits);

// One JSON payload with placeholders in its strings:
//
//     {{counter}} {{counter 1000}}      1, 2, 3, ... or from 1000
//     {{random 1 6}} {{random 0.0 9.9}} a number in that range, with the decimals of its bounds
//     {{uuid}} {{now}}                  version 4; RFC 3339 in UTC
//     {{pick red|green|blue}}           one of them
//
// A string that is nothing but a counter or a random number becomes that number: "{{counter}}" is 7, not "7".
class PayloadTemplate {
public:
    // `json` is valid JSON. Fails on an unknown or malformed placeholder.
    static Result<PayloadTemplate> compile(std::string_view json);
    // Sent as it is, braces or not.
    static PayloadTemplate verbatim(std::string_view json);

    // `count` is 0 for the first event of the stream.
    std::shared_ptr<const std::string> render(std::uint64_t count, TimePoint now,
                                              const RandomBits& bits) const;

private:
    struct Counter {
        std::int64_t first = 1;
    };
    struct RandomNumber {
        std::int64_t low = 0;  // in units of the last decimal
        std::uint64_t values = 1;
        unsigned decimals = 0;
    };
    struct RandomId {};
    struct Now {};
    struct Pick {
        std::vector<std::string> choices;
    };
    using Placeholder = std::variant<Counter, RandomNumber, RandomId, Now, Pick>;
    struct Piece {
        std::string before;  // text up to the placeholder
        Placeholder placeholder;
    };

    static Result<Placeholder> read_placeholder(std::string_view text);
    static Result<Placeholder> read_random(std::string_view arguments);
    static Result<Placeholder> read_pick(std::string_view arguments);
    static void write(std::string& out, const Placeholder& placeholder, std::uint64_t count, TimePoint now,
                      const RandomBits& bits);

    std::vector<Piece> pieces_;
    std::shared_ptr<const std::string> rest_;  // the whole text where there are no pieces
};

enum class PayloadOrder { random, sequence };

// The payloads of one stream, one after the other. Not thread safe.
class PayloadSource {
public:
    // At least one payload.
    PayloadSource(std::vector<PayloadTemplate> payloads, PayloadOrder order, RandomBits bits);

    std::shared_ptr<const std::string> next(TimePoint now);

private:
    std::vector<PayloadTemplate> payloads_;
    PayloadOrder order_;
    RandomBits bits_;
    std::uint64_t count_ = 0;
};

}  // namespace domain::propagation
