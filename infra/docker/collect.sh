#!/usr/bin/env bash
# Gathers what the final image needs: stripped programs in OUT/bin, and in OUT/packages the Debian packages that hold
# the shared libraries they load.
#   collect.sh BIN_DIR OUT
set -euo pipefail

bin=$1
out=$2
mapfile -t programs < <(cd "$bin" && printf '%s\n' polis-*)

mkdir -p "$out/bin"
libraries=()
for program in "${programs[@]}"; do
    strip -o "$out/bin/$program" "$bin/$program"
    # Only what the program names itself; the packages bring the rest along.
    mapfile -t -O "${#libraries[@]}" libraries < <(
        objdump -p "$bin/$program" | awk '$1 == "NEEDED" { print $2 }' | while read -r name; do
            ldd "$bin/$program" | awk -v name="$name" '$1 == name && $3 ~ /^\// { print $3 }'
        done
    )
done

# The linker's path may go through a symlink (/lib -> /usr/lib) that dpkg does not know.
mapfile -t unique < <(printf '%s\n' "${libraries[@]}" | sort -u)
for library in "${unique[@]}"; do
    owner=$(dpkg-query -S "$library" 2>/dev/null || dpkg-query -S "$(readlink -f "$library")" 2>/dev/null ||
        dpkg-query -S "*/$(basename "$library")" 2>/dev/null || true)
    if [[ -z $owner ]]; then
        echo "collect: no package holds $library" >&2
        exit 1
    fi
    owner=${owner%%$'\n'*}
    printf '%s\n' "${owner%%:*}"
done | sort -u >"$out/packages"
echo "runtime packages: $(tr '\n' ' ' <"$out/packages")"
