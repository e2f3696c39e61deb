#pragma once

#include <string_view>

namespace infra {

#ifdef POLIS_FAILPOINTS
constexpr bool failpoints_compiled_in = true;
#else
constexpr bool failpoints_compiled_in = false;
#endif

// Dies as by SIGKILL when POLIS_FAILPOINT=NAME[:COUNT] names this point and it is passed for the COUNTth
// time.
void die_at_failpoint(std::string_view name);

// A moment at which a crash must do no harm. In programs that are shipped (CMake option POLIS_FAILPOINTS off)
// there is nothing of it. Every name stands once in the source, and has its scenario in
// tests/e2e/failpoints_test.py.
inline void failpoint(std::string_view name)
{
    if constexpr (failpoints_compiled_in) die_at_failpoint(name);
}

}  // namespace infra
