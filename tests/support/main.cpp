// Both, because doctest.h is precompiled and derives the first from the second only when it is read for the
// first time.
#define DOCTEST_CONFIG_IMPLEMENT
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
