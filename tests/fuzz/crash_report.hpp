#pragma once

#include <cstdint>
#include <string>

namespace fuzz {

// While it lives, a crash, a sanitizer's finding or a hang prints the input under test before the process
// ends. One at a time.
class CrashReport {
public:
    explicit CrashReport(std::uint64_t seed);
    ~CrashReport();
    CrashReport(const CrashReport&) = delete;
    CrashReport& operator=(const CrashReport&) = delete;

    // `input` must outlive the next call.
    void watch(std::uint64_t number, const std::string& input) const;
    // To be called at least once in a few seconds, else the input counts as one that hangs.
    void rearm_watchdog() const;
    void print() const;
};

}  // namespace fuzz
