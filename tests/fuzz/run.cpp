#include "fuzz/crash_report.hpp"
#include "fuzz/fuzz.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdlib>
#include <random>

namespace fuzz {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double seconds_default = 2;
constexpr std::chrono::seconds watchdog_period{1};

const char* setting(const char* name)
{
    const char* const value = std::getenv(name);
    return value == nullptr || *value == '\0' ? nullptr : value;
}

std::chrono::duration<double> time_limit()
{
    const char* const given = setting("FUZZ_SECONDS");
    if (given == nullptr) return std::chrono::duration<double>(seconds_default);
    char* end = nullptr;
    const double seconds = std::strtod(given, &end);
    if (*end != '\0' || !(seconds >= 0)) throw Failed("FUZZ_SECONDS must be a number of seconds");
    return std::chrono::duration<double>(seconds);
}

std::uint64_t seed()
{
    const char* const given = setting("FUZZ_SEED");
    if (given != nullptr) return std::strtoull(given, nullptr, 10);
    std::random_device device;
    return (static_cast<std::uint64_t>(device()) << 32U) | device();
}

int hex_value(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    throw Failed("FUZZ_INPUT must be pairs of hexadecimal digits");
}

std::string from_hex(std::string_view digits)
{
    if (digits.size() % 2 != 0) throw Failed("FUZZ_INPUT must be pairs of hexadecimal digits");
    std::string bytes;
    for (std::size_t at = 0; at < digits.size(); at += 2) {
        bytes.push_back(static_cast<char>(hex_value(digits[at]) * 16 + hex_value(digits[at + 1])));
    }
    return bytes;
}

// The first fault that the check finds in an input, or nothing.
std::string fault_of(const Check& check, const std::string& input)
{
    try {
        check(input);
    } catch (const std::exception& fault) {
        return std::string(fault.what()).empty() ? "an exception" : fault.what();
    }
    return {};
}

}  // namespace

void run(const Source& source, const Check& check)
{
    if (const char* const given = setting("FUZZ_INPUT")) {
        const std::string input = from_hex(given);
        const CrashReport report(0);
        report.watch(0, input);
        const std::string fault = fault_of(check, input);
        CHECK_MESSAGE(fault.empty(), fault);
        return;
    }
    const std::uint64_t first_seed = seed();
    const auto end = Clock::now() + std::chrono::duration_cast<Clock::duration>(time_limit());
    const CrashReport report(first_seed);
    Random random(first_seed);
    std::uint64_t count = 0;
    for (auto now = Clock::now(), rearm_at = now; now < end; now = Clock::now()) {
        if (now >= rearm_at) {
            report.rearm_watchdog();
            rearm_at = now + watchdog_period;
        }
        const std::string input = source(random);
        report.watch(count++, input);
        if (const std::string fault = fault_of(check, input); !fault.empty()) {
            report.print();
            FAIL(fault);
        }
    }
    MESSAGE(count << " inputs from seed " << first_seed);
}

}  // namespace fuzz
