#!/usr/bin/env bash
# Line coverage of all tests: an unoptimised, instrumented build of its own, then gcovr.
#   coverage.sh [JOBS]
set -euo pipefail

root=$(cd "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd -P)
jobs=${1:-$(nproc)}
build=$root/build/coverage
cd "$root"

if [[ ! -f $build/build.ninja ]]; then
    launcher=$(command -v ccache || true)
    # Atomic counters: the programs have threads, and lost updates show as lines that never ran.
    cmake --preset dev -B "$build" ${launcher:+-DCMAKE_CXX_COMPILER_LAUNCHER="$launcher"} \
        -DCMAKE_CXX_FLAGS="--coverage -fprofile-update=atomic -fprofile-abs-path"
fi
cmake --build "$build" --parallel "$jobs"
find "$build" -name '*.gcda' -delete

failed=
infra/tools/with_cluster.sh ctest --test-dir "$build" --parallel "$jobs" --output-on-failure --no-tests=error \
    --label-regex '^(unit|integration|e2e)$' || failed=1

mkdir -p "$build/report"
gcovr --root "$root" --object-directory "$build" --filter 'app/' --filter 'domain/' --filter 'infra/' \
    --exclude-unreachable-branches --exclude-throw-branches -j "$jobs" \
    --html-details "$build/report/index.html" --txt "$build/report/summary.txt" "$build"
cat "$build/report/summary.txt"
echo "report: $build/report/index.html"
[[ -z $failed ]] || {
    echo "coverage: some tests failed, see above" >&2
    exit 1
}
