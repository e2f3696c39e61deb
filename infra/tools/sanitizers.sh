# shellcheck shell=bash
# Sourced by the sanitizer runs: the first finding ends the process, with a stack trace.
export ASAN_OPTIONS=detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1${ASAN_OPTIONS:+:$ASAN_OPTIONS}
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1${UBSAN_OPTIONS:+:$UBSAN_OPTIONS}
export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1${TSAN_OPTIONS:+:$TSAN_OPTIONS}

# The leak checker takes one file.
tools=$(cd "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
suppressions=$(cd "$tools/../.." && pwd -P)/build/lsan.supp
mkdir -p "${suppressions%/*}"
cp "$tools/lsan.supp" "$suppressions"
if [[ $(curl-config --version 2>/dev/null) == 'libcurl 8.14.'* ]]; then
    cat "$tools/lsan-libcurl-8.14.supp" >>"$suppressions"
fi
export LSAN_OPTIONS=suppressions=$suppressions:print_suppressions=0${LSAN_OPTIONS:+:$LSAN_OPTIONS}
