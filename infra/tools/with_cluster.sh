#!/usr/bin/env bash
# Runs a command beside a throw-away PostgreSQL cluster, removed afterwards: the tests never touch anybody's data.
#   with_cluster.sh COMMAND [ARGUMENT ...]
# The command sees POLIS_TEST_DATABASE_URL. DATABASE_URL is taken away, so that no test meets the database of the shell.
set -euo pipefail

tools=$(cd "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
(($# > 0)) || {
    echo "usage: with_cluster.sh COMMAND [ARGUMENT ...]" >&2
    exit 2
}

dir=$(mktemp -d "${TMPDIR:-/tmp}/polis-test.XXXXXXXX")
# Readable, so that the server's user can enter when this runs as root; the data itself is private to that user.
chmod 755 "$dir"
trap '"$tools/pg_cluster.sh" destroy "$dir" || true; rm -rf -- "$dir"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

POLIS_TEST_DATABASE_URL=$("$tools/pg_cluster.sh" start "$dir")
export POLIS_TEST_DATABASE_URL
unset DATABASE_URL POSTGRES_DSN
"$@"
