#!/usr/bin/env bash
# The checks that need no running program.
#   lint.sh [format] [scripts] [tidy]      default: all three
#   lint.sh --fix                          rewrite the C++ files with clang-format
set -euo pipefail

root=$(cd "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd -P)
cd "$root"

say() { printf 'lint: %s\n' "$*"; }

# New files that are not committed yet count too; in a tarball without .git every file does.
files() {
    if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
        git -c safe.directory='*' ls-files --cached --others --exclude-standard -- "$@"
    else
        local pattern
        for pattern in "$@"; do
            find app domain infra migrations tests .ci -name "${pattern##*/}" -not -path '*/build/*' 2>/dev/null
        done
    fi | while IFS= read -r name; do if [[ -f $name ]]; then printf '%s\n' "$name"; fi; done | sort -u
}

clang_format() {
    local program
    # Another version formats differently: the tree is formatted with 14, so that one is preferred where it exists.
    for program in clang-format-14 clang-format; do
        if command -v "$program" >/dev/null; then
            "$program" "$@"
            return
        fi
    done
    say "clang-format is not installed: run infra/tools/deps.sh lint"
    return 1
}

cpp_files=()
read_cpp_files() { mapfile -t cpp_files < <(files '*.cpp' '*.hpp'); }

check_format() {
    read_cpp_files
    say "clang-format, ${#cpp_files[@]} files"
    ((${#cpp_files[@]} > 0)) || return 0
    local report
    if report=$(clang_format --dry-run -Werror "${cpp_files[@]}" 2>&1); then return 0; fi
    # One line a file is enough: the remedy is the same for every place in it.
    grep -E '^[^:]+:[0-9]+:[0-9]+: (error|warning)' <<<"$report" | sort -t : -s -u -k 1,1 || printf '%s\n' "$report"
    say "mend it with: make format"
    return 1
}

fix_format() {
    read_cpp_files
    ((${#cpp_files[@]} == 0)) || clang_format -i "${cpp_files[@]}"
    say "formatted ${#cpp_files[@]} files"
}

# The steps run as conditions, where `set -e` does not act: each returns its result itself.
check_scripts() {
    local scripts python failed=0
    mapfile -t scripts < <(files '*.sh' '.ci/run')
    say "shellcheck, ${#scripts[@]} files"
    shellcheck --external-sources "${scripts[@]}" || failed=1
    mapfile -t python < <(files '*.py')
    say "python syntax, ${#python[@]} files"
    python3 -W error - "${python[@]}" <<'PYTHON' || failed=1
import sys
for path in sys.argv[1:]:
    with open(path, "rb") as file:
        compile(file.read(), path, "exec")
PYTHON
    return "$failed"
}

check_tidy() { python3 infra/tools/tidy.py build/release; }

main() {
    local failed=() step
    if [[ ${1:-} == --fix ]]; then
        fix_format
        return
    fi
    (($# > 0)) || set -- format scripts tidy
    for step in "$@"; do
        case $step in
            format | scripts | tidy) "check_$step" || failed+=("$step") ;;
            *)
                say "there is no step '$step'"
                exit 2
                ;;
        esac
    done
    if ((${#failed[@]})); then
        say "failed: ${failed[*]}"
        exit 1
    fi
    say "clean"
}

main "$@"
