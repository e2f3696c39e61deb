#!/usr/bin/env bash
# Runs a command with DATABASE_URL: the configured one, else that of the private cluster in .polis/, which is started
# for the time of the command when `make run` is not active.
set -euo pipefail

tools=$(cd "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
# shellcheck source=infra/tools/settings.sh
source "$tools/settings.sh"
state=${POLIS_STATE_DIR:-$settings_root/.polis}
(($# > 0)) || {
    echo "usage: with_database.sh COMMAND [ARGUMENT ...]" >&2
    exit 2
}

DATABASE_URL=$(setting DATABASE_URL "$(setting POSTGRES_DSN '')")
if [[ -n $DATABASE_URL ]]; then
    export DATABASE_URL
    exec "$@"
fi
unset DATABASE_URL
if yaml_names_database; then exec "$@"; fi

if ! "$tools/pg_cluster.sh" pid "$state" >/dev/null; then
    trap '"$tools/pg_cluster.sh" stop "$state"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
fi
DATABASE_URL=$("$tools/pg_cluster.sh" start "$state")
export DATABASE_URL
"$@"
