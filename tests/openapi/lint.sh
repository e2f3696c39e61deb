#!/bin/sh
# Checks openapi.json with openapi-spec-validator (PyPI) and, where npm is at hand, with Redocly's linter.
# Usage: lint.sh <build folder>   Exit: 0 valid, 1 faults, 2 wrong usage, 77 skipped because no linter could be had.
# The tools live in the build folder and are installed once.
set -u

validator_version=0.9.0
redocly_version=2.77.0

[ $# -eq 1 ] || { echo "usage: $0 <build folder>" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
document=$here/../../infra/web/openapi.json
mkdir -p "$1/openapi-lint" || exit 2
tools=$(cd "$1/openapi-lint" && pwd)
linters=0
faults=0

venv=$tools/venv-$validator_version
if [ ! -e "$venv/installed" ]; then
    rm -rf "$venv"
    python3 -m venv "$venv" >"$tools/pip.log" 2>&1 &&
        "$venv/bin/pip" install -q --disable-pip-version-check --retries 1 --timeout 20 \
            "openapi-spec-validator==$validator_version" >>"$tools/pip.log" 2>&1 &&
        touch "$venv/installed"
fi
if [ -e "$venv/installed" ]; then
    linters=$((linters + 1))
    "$venv/bin/openapi-spec-validator" "$document" || faults=$((faults + 1))
else
    echo "openapi-spec-validator could not be installed (see $tools/pip.log)"
fi

redocly=$tools/redocly-$redocly_version
if command -v npm >/dev/null && [ ! -e "$redocly/installed" ]; then
    rm -rf "$redocly"
    mkdir -p "$redocly"
    npm install --prefix "$redocly" --ignore-scripts --no-audit --no-fund --fetch-retries=1 --fetch-timeout=20000 \
        "@redocly/cli@$redocly_version" >"$tools/npm.log" 2>&1 && touch "$redocly/installed"
fi
if [ -e "$redocly/installed" ]; then
    linters=$((linters + 1))
    # A warning is a fault too: the document has none.
    if REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true \
        "$redocly/node_modules/.bin/redocly" lint --format=json "$document" >"$tools/redocly.json" 2>"$tools/redocly.log" &&
        python3 -c 'import json, sys; sys.exit(len(json.load(open(sys.argv[1]))["problems"]) > 0)' "$tools/redocly.json"; then
        echo "redocly: OK"
    else
        cat "$tools/redocly.json" "$tools/redocly.log"
        faults=$((faults + 1))
    fi
else
    echo "redocly could not be installed (no npm, or see $tools/npm.log)"
fi

[ "$faults" -eq 0 ] || exit 1
[ "$linters" -gt 0 ] || { echo "skipped: no linter could be installed; are the package registries in reach?"; exit 77; }
