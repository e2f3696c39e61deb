#!/usr/bin/env bash
# `make run`: a private PostgreSQL, the schema, the API and the outbox worker, until Ctrl-C. The data stays in .polis/.
set -euo pipefail

tools=$(cd "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
# shellcheck source=infra/tools/settings.sh
source "$tools/settings.sh"
root=$settings_root
bin=${POLIS_BIN_DIR:-$root/build/release/bin}
state=${POLIS_STATE_DIR:-$root/.polis}
readonly ready_timeout_seconds=30
readonly stop_timeout_seconds=15

# A terminal that is gone must not stop the shutdown half-way.
say() { printf 'polis: %s\n' "$*" >&2 || true; }
die() {
    say "$*"
    exit 1
}

# ---- stopping: worker, API, cluster, in this order --------------------------------------------------------------

api_pid=
worker_pid=
cluster_started=

alive() { [[ -n $1 ]] && kill -0 "$1" 2>/dev/null; }

stop_child() {
    local name=$1 pid=$2 deadline=$((SECONDS + stop_timeout_seconds))
    alive "$pid" || return 0
    kill -TERM "$pid" 2>/dev/null || true
    while alive "$pid"; do
        if ((SECONDS >= deadline)); then
            say "$name did not stop within $stop_timeout_seconds s: killing it"
            kill -KILL "$pid" 2>/dev/null || true
            break
        fi
        sleep 0.02
    done
    wait "$pid" 2>/dev/null || true
}

shut_down() {
    local code=$?
    # A second Ctrl-C must not cut the shutdown short.
    trap '' INT TERM HUP
    trap - EXIT
    if [[ -n $api_pid$worker_pid$cluster_started ]]; then say "stopping ..."; fi
    stop_child polis-outbox-worker "$worker_pid"
    stop_child polis-api "$api_pid"
    if [[ -n $cluster_started ]]; then
        "$tools/pg_cluster.sh" stop "$state" || code=1
        say "stopped; the data is in $state"
    elif [[ -n $api_pid ]]; then
        say "stopped"
    fi
    exit "$code"
}

# ---- starting ---------------------------------------------------------------------------------------------------

# require_free_port NAME HOST PORT STEP: STEP leads from a taken port to the one that the message proposes.
require_free_port() {
    local name=$1 host=$2 port=$3 step=$4
    [[ $port =~ ^[0-9]{1,5}$ ]] || die "$name is '$port': not a port number"
    port=$((10#$port))
    ((port > 0 && port < 65536)) || die "$name is $port: a port number is between 1 and 65535"
    if (exec 3<>"/dev/tcp/$host/$port") 2>/dev/null; then
        die "port $port is taken (is another 'make run' still there?). Choose another: make run $name=$((port + step))"
    fi
}

lock_state() {
    mkdir -p -- "$state"
    if ! { exec {lock_fd}>>"$state/run.lock"; } 2>/dev/null; then
        die "cannot write in $state (it belongs to $(stat -c %U -- "$state")): run as that user, or remove it"
    fi
    flock -n "$lock_fd" || die "'make run' is already active in this checkout; a second one needs its own DATABASE_URL"
    ((EUID != 0)) || chown --reference="$state" -- "$state/run.lock"
}

# A session of its own, because Ctrl-C goes to the whole foreground group and the order of stopping is ours;
# the parent-death signal, because nothing may stay behind when this script is killed.
spawn() {
    setsid setpriv --pdeathsig TERM "$@" </dev/null {lock_fd}>&- &
    child_pid=$!
}

child_ended() {
    local name=$1 pid=$2 code=0
    wait "$pid" || code=$?
    die "$name ended with exit code $code; its messages are above"
}

check_children() {
    alive "$api_pid" || child_ended polis-api "$api_pid"
    [[ -z $worker_pid ]] || alive "$worker_pid" || child_ended polis-outbox-worker "$worker_pid"
}

wait_ready() {
    local deadline=$((SECONDS + ready_timeout_seconds))
    until curl -fsS -o /dev/null --max-time 2 "$base/readyz" 2>/dev/null; do
        check_children
        if ((SECONDS >= deadline)); then
            curl -sS --max-time 2 "$base/readyz" >&2 || true
            die "the API is not ready after $ready_timeout_seconds s"
        fi
        sleep 0.02
    done
}

print_welcome() {
    local admin=''
    [[ ${PROMETHEUS_DISABLE:-} == true ]] || admin="
  worker metrics  http://127.0.0.1:$admin_port/metrics"
    cat <<TEXT

Polis is ready (in $elapsed). Ctrl-C stops everything; the data stays.

  API             $base
  documentation   $base/docs
  API metrics     $base/metrics$admin
  outbox          $sink   (OUTBOX_SINK)
  database        $database_shown

Try it:
  curl -s -X POST $base/ingest/health -H 'Content-Type: application/json' -d '{"patient_id": 123, "alert": "emergency", "location": "downtown"}'
  curl -s '$base/events?limit=5'
  curl -s $base/events/ID      # ID = stored_event_id of the first answer: its derived events and their deliveries

TEXT
}

main() {
    trap shut_down EXIT
    trap 'exit 0' INT TERM HUP
    # /proc/uptime has centiseconds and costs no process.
    local uptime started
    read -r uptime _ </proc/uptime
    started=${uptime/./}

    local name
    for name in polis-api polis-outbox-worker polis-migrate; do
        [[ -x $bin/$name ]] || die "$bin/$name is not built: run 'make build'"
    done

    host=$(setting HOST 127.0.0.1)
    port=$(setting PORT 8000)
    admin_port=$(setting ADMIN_PORT 9001)
    sink=$(setting OUTBOX_SINK log:)
    case $host in
        0.0.0.0 | '' | '*') reachable=127.0.0.1 ;;
        ::) reachable=::1 ;;
        *) reachable=$host ;;
    esac
    base=http://$reachable:$port
    [[ $reachable != *:* ]] || base="http://[$reachable]:$port"
    require_free_port PORT "$reachable" "$port" 1
    [[ ${PROMETHEUS_DISABLE:-} == true ]] ||
        require_free_port ADMIN_PORT 127.0.0.1 "$admin_port" 10

    cd "$root"
    database_url=$(setting DATABASE_URL "$(setting POSTGRES_DSN '')")
    if [[ -n $database_url ]]; then
        database_shown="the one named by DATABASE_URL"
        lock_fd=9
    elif yaml_names_database; then
        database_shown="the one named in the YAML file at CONFIG_PATH"
        lock_fd=9
    else
        lock_state
        cluster_started=1
        database_url=$("$tools/pg_cluster.sh" start "$state" {lock_fd}>&-)
        database_shown="psql '$database_url'"
    fi
    [[ -z $database_url ]] || export DATABASE_URL=$database_url

    "$bin/polis-migrate" up || die "the migrations failed; the messages are above"
    HOST=$host PORT=$port spawn "$bin/polis-api"
    api_pid=$child_pid
    ADMIN_PORT=$admin_port OUTBOX_SINK=$sink spawn "$bin/polis-outbox-worker"
    worker_pid=$child_pid
    wait_ready

    read -r uptime _ </proc/uptime
    elapsed=$((${uptime/./} - started))
    elapsed="$((elapsed / 100)).$(printf '%02d' $((elapsed % 100))) s"
    print_welcome

    wait -n "$api_pid" "$worker_pid" || true
    check_children
}

main
