#!/usr/bin/env bash
# A private PostgreSQL cluster for one directory: `make run`, the tests and the benchmarks each have their own.
# It listens on a Unix socket only, so it never meets another PostgreSQL on this machine.
set -euo pipefail
umask 022

readonly start_timeout_seconds=120   # crash recovery after a large bulk load needs more than a few seconds
readonly stop_timeout_seconds=60
readonly lock_timeout_seconds=150    # longer than one start: a second caller waits for the first one
readonly poll_seconds=0.02
readonly max_socket_path_bytes=107   # sun_path holds 108 bytes, one of them is the closing NUL
readonly max_log_bytes=$((10 * 1024 * 1024))
readonly socket_file=.s.PGSQL.5432
readonly protected_root=/var/lib/polis
# Above the kernel's largest possible pid (2^22): a number that can never belong to a process.
readonly impossible_pid=4194305

usage() {
    cat <<'USAGE'
usage: pg_cluster.sh start|stop|kill|url|pid|status|destroy DIR

  start    create the cluster when there is none, start it, print its DATABASE_URL
  stop     fast shutdown; the data stays
  kill     SIGKILL to every process of this cluster (a crash, for tests)
  url      print the DATABASE_URL
  pid      print the server's process id; exit 1 when it is not running
  status   say whether it runs; exit 3 when it does not
  destroy  stop it and remove its data

Environment: POLIS_PG_OPTIONS="-c name=value ..."  further server settings for start.
USAGE
}

say() { printf 'pg_cluster: %s\n' "$*" >&2; }
die() {
    say "$*"
    exit 1
}

# ---- where things are -------------------------------------------------------------------------------------------

# home = DIR/pg. It is a real directory when the server's user can reach it, else a link to /var/lib/polis/<hash>.
locate() {
    dir=$1
    [[ -n $dir ]] || die "the directory name is empty"
    if [[ -d $dir ]]; then dir=$(cd "$dir" && pwd -P); else dir=$(realpath -m -- "$dir"); fi
    link=$dir/pg
    home=$link
    if [[ -L $link ]]; then
        home=$(readlink -- "$link")
        # Root deletes and starts what this link names: accept only what this script itself writes there.
        [[ $home =~ ^$protected_root/[0-9a-f]{16}$ ]] || die "$link points to $home, which is not one of ours"
    fi
    data=$home/data
    log=$dir/postgres.log
    name=polis_$(printf '%s' "$home" | sha256sum | cut -c1-12)
}

choose_user() {
    run_as=()
    ((EUID == 0)) || return 0
    local owner=postgres
    if [[ -d $home ]]; then owner=$(stat -c %U -- "$home"); fi
    if [[ $owner == root || $owner == UNKNOWN ]]; then owner=postgres; fi
    id "$owner" >/dev/null 2>&1 || die "PostgreSQL does not run as root and there is no user '$owner': run 'make deps'"
    server_user=$owner
    run_as=(setpriv "--reuid=$owner" "--regid=$(id -g "$owner")" --init-groups)
}

find_binaries() {
    local wanted=${1:-} best=-1 candidate version
    bin=
    for candidate in /usr/lib/postgresql/*/bin; do
        [[ -x $candidate/postgres && -x $candidate/initdb ]] || continue
        version=${candidate#/usr/lib/postgresql/}
        version=${version%/bin}
        [[ $version =~ ^[0-9]+$ ]] || continue
        [[ -z $wanted || $version == "$wanted" ]] || continue
        if ((version > best)); then
            best=$version
            bin=$candidate
        fi
    done
    if [[ -z $bin ]] && candidate=$(command -v postgres); then
        candidate=$(dirname -- "$(readlink -f -- "$candidate")")
        version=$("$candidate/postgres" --version)
        [[ ! -x $candidate/initdb || (-n $wanted && ! $version =~ \ $wanted([^0-9]|$)) ]] || bin=$candidate
    fi
    [[ -n $bin ]] || die "no PostgreSQL ${wanted:+$wanted }server found in /usr/lib/postgresql or PATH: run 'make deps'${wanted:+, or remove $dir}"
}

# ---- processes --------------------------------------------------------------------------------------------------

# The command line is world-readable also where /proc/PID/cwd is not (root in a container without CAP_SYS_PTRACE).
is_our_postmaster() {
    local pid=$1 words=() i
    [[ $pid =~ ^[0-9]+$ && -r /proc/$pid/cmdline ]] || return 1
    { mapfile -d '' -t words <"/proc/$pid/cmdline"; } 2>/dev/null || return 1
    for ((i = 0; i + 1 < ${#words[@]}; i++)); do
        [[ ${words[i]} == -D && ${words[i + 1]} == "$data" ]] && return 0
    done
    return 1
}

recorded_pid() {
    local first=
    if [[ -r $data/postmaster.pid ]]; then read -r first <"$data/postmaster.pid" || true; fi
    printf '%s' "$first"
}

running_pid() {
    local pid
    pid=$(recorded_pid)
    is_our_postmaster "$pid" && printf '%s' "$pid"
}

# cluster_name stands in the process title of every server process, so these are ours even when the postmaster is gone.
server_children() {
    local file words
    for file in /proc/[0-9]*/cmdline; do
        words=
        { IFS= read -r -d '' words <"$file"; } 2>/dev/null || true
        if [[ $words == "postgres: $name: "* ]]; then
            file=${file#/proc/}
            printf '%s\n' "${file%/cmdline}"
        fi
    done
}

signal() {
    local sig=$1
    shift
    (($# == 0)) || kill -s "$sig" -- "$@" 2>/dev/null || true
}

# A zombie has an empty command line, so it counts as gone: in a container nobody may ever reap it.
wait_gone() {
    local pid=$1 deadline=$((SECONDS + $2))
    while is_our_postmaster "$pid"; do
        ((SECONDS < deadline)) || return 1
        sleep "$poll_seconds"
    done
}

wait_no_children() {
    local deadline=$((SECONDS + $1))
    while [[ -n $(server_children) ]]; do
        ((SECONDS < deadline)) || return 1
        sleep "$poll_seconds"
    done
}

# ---- locking ----------------------------------------------------------------------------------------------------

lock() {
    mkdir -p -- "$dir" 2>/dev/null || die "cannot create $dir"
    if ! { exec {lock_fd}>>"$dir/lock"; } 2>/dev/null; then
        die "cannot write in $dir (it belongs to $(stat -c %U -- "$dir")): run as that user, or remove it"
    fi
    flock -w "$lock_timeout_seconds" "$lock_fd" || die "another pg_cluster.sh holds $dir/lock for $lock_timeout_seconds s"
}

# ---- creating ---------------------------------------------------------------------------------------------------

make_home() {
    [[ ! -d $home ]] || return 0
    if ((EUID != 0)); then
        mkdir -m 700 -- "$home"
        return
    fi
    if ! "${run_as[@]}" test -x "$dir" 2>/dev/null; then
        remove_abandoned
        [[ -L $link ]] || home=$protected_root/$(printf '%s' "$dir" | sha256sum | cut -c1-16)
        mkdir -p -- "$protected_root"
        ln -sfn -- "$home" "$link"
    fi
    install -d -m 700 -o "$server_user" -g "$(id -g "$server_user")" -- "$home"
    [[ $home == "$link" ]] || printf '%s\n' "$dir" >"$home/origin"
    locate "$dir"
}

# A test that was killed leaves its cluster below /var/lib/polis: drop those whose temporary directory is gone.
remove_abandoned() {
    local old origin
    for old in "$protected_root"/*/; do
        old=${old%/}
        [[ -f $old/origin ]] || continue
        origin=$(<"$old/origin")
        if [[ $origin == /tmp/* && ! -e $origin ]] && is_idle "$old/data"; then rm -rf -- "$old"; fi
    done
}

is_idle() {
    local data=$1
    ! running_pid >/dev/null
}

# Everything happens in a directory that is renamed at the end: a cluster exists completely or not at all.
initialise() {
    local fresh=$home/init.$$ locale=C.UTF-8
    say "creating a PostgreSQL cluster in $dir (PostgreSQL: $bin)"
    rm -rf -- "$home"/init.*
    LC_ALL=C.UTF-8 locale charmap 2>/dev/null | grep -q UTF-8 || locale=C
    cd /
    if ! LC_ALL=C "${run_as[@]}" "$bin/initdb" --pgdata="$fresh" --username=polis --auth=trust --encoding=UTF8 \
        --locale="$locale" --no-sync --no-instructions >>"$log" 2>&1; then
        show_log
        rm -rf -- "$fresh"
        die "initdb failed"
    fi
    printf "\ninclude_if_exists = 'polis.conf'\n" >>"$fresh/postgresql.conf"
    # Single-user mode: the database is there before the first start, so that no start has to look for it.
    if ! printf 'CREATE DATABASE polis\n' | LC_ALL=C "${run_as[@]}" "$bin/postgres" --single -F -D "$fresh" template1 \
        >>"$log" 2>&1; then
        show_log
        rm -rf -- "$fresh"
        die "the database 'polis' could not be created"
    fi
    mv -T -- "$fresh" "$data"
}

wal_compression() {
    local major=$1
    if ((major >= 15)) && "${run_as[@]}" "$bin/postgres" -D "$data" -C wal_compression -c wal_compression=lz4 \
        >/dev/null 2>&1; then
        printf lz4
    else
        printf on
    fi
}

write_settings() {
    local compression
    compression=$(wal_compression "$(<"$data/PG_VERSION")")
    cat >"$data/polis.conf" <<SETTINGS
# Written by infra/tools/pg_cluster.sh at every start. One-off changes: POLIS_PG_OPTIONS="-c name=value".
listen_addresses = ''
max_connections = 100
shared_buffers = 256MB
max_wal_size = 4GB
# Files of the log that were used are kept: a new one is 16 MiB of zeros, for which everybody waits.
min_wal_size = 1GB
# What backends and autovacuum write goes to the disk in small pieces: a gigabyte at once holds commits up for 300 ms.
backend_flush_after = 256kB
checkpoint_timeout = 15min
wal_compression = $compression
fsync = on
synchronous_commit = on
jit = off
timezone = 'UTC'
log_timezone = 'UTC'
logging_collector = off
log_line_prefix = '%m [%p] '
SETTINGS
    chmod 644 "$data/polis.conf"
}

# ---- the socket -------------------------------------------------------------------------------------------------

usable_socket_dir() {
    local path=$1/$socket_file
    # Beyond these characters a path needs escaping in a URL, and a comma separates hosts in libpq.
    [[ $1 =~ ^/[A-Za-z0-9/._~-]+$ ]] && ((${#path} <= max_socket_path_bytes))
}

socket_dir() { if [[ -r $home/socket_dir ]]; then printf '%s' "$(<"$home/socket_dir")"; fi; }

prepare_socket_dir() {
    local wanted=$home/socket server_uid=$EUID
    [[ -z ${server_user:-} ]] || server_uid=$(id -u "$server_user")
    if usable_socket_dir "$wanted"; then
        [[ -d $wanted ]] || "${run_as[@]}" mkdir -m 700 -- "$wanted"
    else
        wanted=$(socket_dir)
        # /tmp is emptied at boot, and somebody else may have taken the name since.
        if [[ $wanted != /tmp/polis-pg.* || ! -d $wanted || -L $wanted || $(stat -c '%u %a' -- "$wanted") != "$server_uid 700" ]]; then
            wanted=$(cd / && "${run_as[@]}" mktemp -d /tmp/polis-pg.XXXXXXXX)
        fi
    fi
    [[ $(socket_dir) == "$wanted" ]] || printf '%s\n' "$wanted" >"$home/socket_dir"
}

print_url() { printf 'postgresql:///polis?host=%s&user=polis\n' "$(socket_dir)"; }

# ---- starting and stopping --------------------------------------------------------------------------------------

show_log() {
    [[ ! -s $log ]] || {
        say "the last lines of $log:"
        tail -n 15 -- "$log" >&2
    }
}

rotate_log() {
    [[ -e $log ]] || : >"$log"
    if (($(stat -c %s -- "$log") > max_log_bytes)); then
        cp -- "$log" "$log.1"
        : >"$log"
    fi
    ((EUID != 0)) || chown --reference="$dir" -- "$log" "$dir/lock"
}

# After a SIGKILL of the postmaster: its orphans hold the shared memory, and its pid file may name a reused pid, which
# PostgreSQL then takes for a running server. The file itself must stay: it leads the server to the shared memory check.
clear_leftovers() {
    [[ -e $data/postmaster.pid ]] || return 0
    local pids
    mapfile -t pids < <(server_children)
    signal QUIT "${pids[@]}"
    wait_no_children 5 || {
        mapfile -t pids < <(server_children)
        signal KILL "${pids[@]}"
        wait_no_children 5 || die "processes of the crashed server do not end: ${pids[*]}"
    }
    if [[ -e /proc/$(recorded_pid) ]]; then
        sed -i "1s/.*/$impossible_pid/" "$data/postmaster.pid"
        ((EUID != 0)) || chown "$server_user:" "$data/postmaster.pid"
    fi
    rm -f -- "$(socket_dir)/$socket_file.lock"
}

close_inherited_files() {
    local entry fd
    for entry in /proc/self/fd/*; do
        fd=${entry##*/}
        # 255 is bash's own, closed on exec. The rest may be a caller's pipe that would never see its end, or our lock.
        if ((fd > 2 && fd != 255)); then exec {fd}>&-; fi
    done
}

launch() {
    local options=()
    read -r -a options <<<"${POLIS_PG_OPTIONS:-}"
    # A session of its own: Ctrl-C in the terminal reaches the caller, who then stops the server in order.
    (
        close_inherited_files
        cd /
        exec env -u PGOPTIONS LC_ALL=C setsid "${run_as[@]}" "$bin/postgres" -D "$data" -k "$(socket_dir)" -p 5432 \
            -c "cluster_name=$name" "${options[@]}"
    ) </dev/null >>"$log" 2>&1 &
    server_pid=$!
    disown "$server_pid"
}

# The postmaster writes "ready" into line 8 of its pid file: asking that needs no process and no connection.
wait_ready() {
    local pid=$1 deadline=$((SECONDS + start_timeout_seconds)) next_word=$((SECONDS + 5)) lines
    while :; do
        lines=()
        { mapfile -t lines <"$data/postmaster.pid"; } 2>/dev/null || true
        [[ ${lines[0]:-} != "$pid" || ${lines[7]:-} != ready* ]] || return 0
        [[ -e /proc/$pid && $(process_state "$pid") != Z ]] || return 1
        if ((SECONDS >= deadline)); then
            say "not ready after $start_timeout_seconds s"
            return 1
        fi
        if ((SECONDS >= next_word)); then
            say "still starting (crash recovery can take a while) ..."
            next_word=$((SECONDS + 5))
        fi
        sleep "$poll_seconds"
    done
}

process_state() {
    local stat=
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null || true
    stat=${stat##*) }
    printf '%s' "${stat:0:1}"
}

start() {
    lock
    choose_user
    if server_pid=$(running_pid); then
        wait_ready "$server_pid" || die "the server (pid $server_pid) does not become ready, see $log"
        print_url
        return
    fi
    make_home
    rotate_log
    if [[ -e $data/PG_VERSION ]]; then
        find_binaries "$(<"$data/PG_VERSION")"
        clear_leftovers
    else
        find_binaries
        initialise
    fi
    write_settings
    prepare_socket_dir
    launch
    if ! wait_ready "$server_pid"; then
        show_log
        die "PostgreSQL did not start"
    fi
    print_url
}

stop() {
    local pid
    [[ -d $dir ]] || return 0
    lock
    pid=$(running_pid) || return 0
    signal INT "$pid"
    wait_gone "$pid" "$stop_timeout_seconds" && return 0
    say "no fast shutdown within $stop_timeout_seconds s: immediate shutdown"
    signal QUIT "$pid"
    wait_gone "$pid" 10 || die "the server (pid $pid) does not stop"
}

kill_all() {
    local pid pids
    # No lock: a crash does not ask whether somebody is starting. The stopped postmaster can fork no further child.
    if pid=$(running_pid); then signal STOP "$pid"; fi
    mapfile -t pids < <(server_children)
    [[ -z $pid ]] || pids=("$pid" "${pids[@]}")
    signal KILL "${pids[@]}"
    [[ -z $pid ]] || wait_gone "$pid" 10 || die "the server (pid $pid) survived SIGKILL"
    wait_no_children 10 || die "server processes survived SIGKILL"
}

destroy() {
    [[ -d $dir ]] || return 0
    stop
    local socket
    socket=$(socket_dir)
    if [[ $socket == /tmp/polis-pg.* ]]; then rm -rf -- "$socket"; fi
    rm -rf -- "$home"
    rm -f -- "$link" "$log" "$log.1" "$dir/lock"
    rmdir --ignore-fail-on-non-empty -- "$dir"
}

main() {
    if (($# == 1)) && [[ $1 == -h || $1 == --help ]]; then
        usage
        exit 0
    fi
    (($# == 2)) || {
        usage >&2
        exit 2
    }
    locate "$2"
    case $1 in
        start) start ;;
        stop) stop ;;
        kill) kill_all ;;
        url)
            [[ -n $(socket_dir) ]] || die "there is no cluster in $dir yet: start it first"
            print_url
            ;;
        pid) running_pid && printf '\n' ;;
        status)
            local pid
            if pid=$(running_pid); then
                printf 'running, pid %s, %s\n' "$pid" "$(print_url)"
            else
                printf 'not running\n'
                exit 3
            fi
            ;;
        destroy) destroy ;;
        *)
            usage >&2
            exit 2
            ;;
    esac
}

main "$@"
