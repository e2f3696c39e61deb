#!/usr/bin/env bash
# Installs the missing packages of the named groups on Debian 12 and 13 and Ubuntu 24.04. Quick when nothing is missing.
set -euo pipefail

usage() {
    cat <<'USAGE'
usage: deps.sh [--check] [GROUP ...] [--optional GROUP ...]        (default: build run test)

  build      compiler, CMake, libraries, npm (for the pages /docs, /redoc and /console)
  run        PostgreSQL server and psql, curl
  test       Python with pip and venv, openssl
  lint       clang-format, clang-tidy, shellcheck
  coverage   gcovr
  brokers    kcat, Java and Maven (for Kafka's own server), RabbitMQ: for tests against real brokers
  console    Chromium and Prometheus: for the tests of the console, of /docs and of the monitoring files
  bench      what the benchmark compares with: wrk, Python's venv, Node.js and npm
  image      buildah, debootstrap: the container image without a Docker engine

  --check      install nothing; exit 1 and name what is missing
  --optional   of the groups that follow, leave out what this system has no package for, and say so

POLIS_SKIP_DEPS=1 skips everything: for systems without apt, where you install the counterparts yourself.
USAGE
}

say() { printf 'deps: %s\n' "$*" >&2; }
die() {
    say "$*"
    exit 1
}

# One word is one need. "a|b" reads: a, or b where there is no a.
needs_of() {
    case $1 in
        build)
            echo g++ cmake ninja-build ccache make "pkg-config|pkgconf" libsoci-dev libpq-dev libfmt-dev doctest-dev \
                libspdlog-dev prometheus-cpp-dev librdkafka-dev librabbitmq-dev libavro-dev libssl-dev libyaml-cpp-dev libcli11-dev \
                libcurl4-openssl-dev zlib1g-dev python3 BOOST NPM
            ;;
        run) echo curl ca-certificates POSTGRESQL ;;
        test) echo python3 PIP VENV openssl curl POSTGRESQL ;;
        lint) echo "clang-format-14|clang-format" "clang-tidy-14|clang-tidy" shellcheck python3 ;;
        coverage) echo gcovr ;;
        brokers) echo kcat JAVA maven rabbitmq-server ;;
        console) echo chromium prometheus NPM ;;
        bench) echo wrk python3-venv NPM ;;
        image) echo buildah debootstrap ;;
        *) return 1 ;;
    esac
}

# Debian's default Boost, 1.74, has neither JSON nor URL; the three packages must be of one version.
readonly boost_versions=(1.81 1.83 1.84 1.85 1.86 1.87 1.88 1.89 1.90)
readonly postgresql_versions=(18 17 16 15 14)

# The packages that would meet a need: one alternative a line, best first.
alternatives() {
    local version
    case $1 in
        BOOST)
            for version in "${boost_versions[@]}"; do
                echo "libboost$version-dev libboost-json$version-dev libboost-url$version-dev"
            done
            ;;
        NPM) echo npm ;;
        PIP) echo python3-pip ;;
        VENV) echo python3-venv ;;
        JAVA) printf '%s\n' default-jre-headless openjdk-17-jre-headless ;;
        POSTGRESQL) printf 'postgresql-%s\n' "${postgresql_versions[@]}" ;;
        *) tr '|' '\n' <<<"$1" ;;
    esac
}

# ---- what is there ----------------------------------------------------------------------------------------------

# One dpkg-query for everything: this is what makes the usual case take milliseconds.
declare -A installed=()
read_installed() {
    local status package
    while read -r status package; do
        [[ $status != ii* ]] || installed[$package]=1
    done < <(dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' 2>/dev/null)
}

declare -A available=()
read_available() {
    local line package='' names=() need
    for need in "$@"; do mapfile -t -O "${#names[@]}" names < <(alternatives "$need" | tr ' ' '\n'); done
    while read -r line; do
        case $line in
            Candidate:*) [[ $line == *'(none)' ]] || available[$package]=1 ;;
            *:) package=${line%:} ;;
        esac
    done < <(LC_ALL=C apt-cache policy "${names[@]}" 2>/dev/null)
}

all_installed() {
    local package
    for package in "$@"; do [[ -n ${installed[$package]:-} ]] || return 1; done
}

all_available() {
    local package
    for package in "$@"; do [[ -n ${available[$package]:-} ]] || return 1; done
}

# PostgreSQL that came from elsewhere (built from source, another repository) is as good as the package.
have_postgresql() { compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || command -v initdb >/dev/null; }

# Node.js often comes from elsewhere, and Debian's npm would not fit beside it.
have_npm() { command -v npm >/dev/null && command -v node >/dev/null; }

# Any Java from 17 on runs Kafka's server.
have_java() { command -v java >/dev/null; }

# The Python in PATH may come from elsewhere, and Debian's packages would not fit it.
have_pip() { python3 -c 'import pip' >/dev/null 2>&1; }
have_venv() { python3 -c 'import ensurepip, venv' >/dev/null 2>&1; }

is_met() {
    local choice packages
    if [[ $1 == POSTGRESQL ]] && have_postgresql; then return 0; fi
    if [[ $1 == NPM ]] && have_npm; then return 0; fi
    if [[ $1 == JAVA ]] && have_java; then return 0; fi
    if [[ $1 == PIP ]] && have_pip; then return 0; fi
    if [[ $1 == VENV ]] && have_venv; then return 0; fi
    while read -r choice; do
        read -r -a packages <<<"$choice"
        if all_installed "${packages[@]}"; then return 0; fi
    done < <(alternatives "$1")
    return 1
}

resolve() {
    local choice packages
    while read -r choice; do
        read -r -a packages <<<"$choice"
        if all_available "${packages[@]}"; then
            printf '%s\n' "${packages[@]}"
            return 0
        fi
    done < <(alternatives "$1")
    return 1
}

# A need as people name it.
in_words() {
    case $1 in
        BOOST) echo "Boost (1.81 or later, with JSON and URL)" ;;
        NPM) echo "npm" ;;
        JAVA) echo "Java (17 or later)" ;;
        PIP) echo "pip" ;;
        VENV) echo "Python's venv" ;;
        POSTGRESQL) echo "PostgreSQL (14 or later)" ;;
        *) echo "${1%%|*}" ;;
    esac
}

all_in_words() {
    local need words=
    for need in "${missing[@]}"; do words+="${words:+, }$(in_words "$need")"; done
    echo "$words"
}

# ---- installing -------------------------------------------------------------------------------------------------

as_root=()
become_root() {
    ((EUID != 0)) || return 0
    if ! command -v sudo >/dev/null; then
        explain_no_root "there is no sudo"
    fi
    if [[ -t 0 ]]; then
        as_root=(sudo)
    elif sudo -n true 2>/dev/null; then
        as_root=(sudo -n)
    else
        explain_no_root "sudo asks for a password and there is no terminal"
    fi
}

explain_no_root() {
    local need names=()
    read_available "${missing[@]}"
    for need in "${missing[@]}"; do
        # Without any package lists the first alternative is the best guess: the one of Debian 12.
        mapfile -t -O "${#names[@]}" names < <(resolve "$need" || alternatives "$need" | head -n 1)
    done
    say "packages are missing, you are not root and $1."
    say "Ask an administrator to run:"
    say "    apt-get update && apt-get install -y --no-install-recommends ${names[*]}"
    die "then run this again."
}

apt() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 "$@"; }

# Debian's package creates and starts a system-wide cluster. Polis has its own and wants no other server to appear.
readonly no_cluster_file=/etc/postgresql-common/createcluster.d/polis-no-main-cluster.conf
without_main_cluster() {
    local made=
    if [[ " ${packages_to_install[*]} " == *" postgresql-"* && ! -e $no_cluster_file ]]; then
        "${as_root[@]}" mkdir -p "${no_cluster_file%/*}"
        echo 'create_main_cluster = false' | "${as_root[@]}" tee "$no_cluster_file" >/dev/null
        made=1
    fi
    local result=0
    "$@" || result=$?
    [[ -z $made ]] || "${as_root[@]}" rm -f "$no_cluster_file"
    return "$result"
}

# Debian's Prometheus starts itself on port 9090; the tests run one of their own.
stop_prometheus() {
    [[ " ${packages_to_install[*]} " == *" prometheus "* ]] || return 0
    command -v systemctl >/dev/null || return 0
    "${as_root[@]}" systemctl disable --quiet --now prometheus 2>/dev/null || true
}

install_missing() {
    local need found unknown=()
    become_root
    say "missing: $(all_in_words); reading the package lists ..."
    apt update -qq </dev/null || say "apt-get update failed; going on with the lists that are there"
    read_available "${missing[@]}"
    for need in "${missing[@]}"; do
        if found=$(resolve "$need"); then
            mapfile -t -O "${#packages_to_install[@]}" packages_to_install <<<"$found"
        elif [[ -n ${optional[$need]:-} ]]; then
            say "this system has no package for $(in_words "$need"): the tests that need it will be skipped"
        else
            unknown+=("$(in_words "$need")")
        fi
    done
    ((${#unknown[@]} == 0)) || die "no package found for: ${unknown[*]} (on Ubuntu, is 'universe' enabled?)"
    ((${#packages_to_install[@]} > 0)) || return 0
    say "installing: ${packages_to_install[*]}"
    without_main_cluster apt install -y -qq --no-install-recommends "${packages_to_install[@]}" </dev/null >&2 ||
        die "apt-get install failed, see above"
    stop_prometheus
    say "done"
}

# find_missing required|optional GROUP...
find_missing() {
    local kind=$1 group need
    shift
    for group in "$@"; do
        for need in $(needs_of "$group"); do
            [[ -z ${seen[$need]:-} ]] || continue
            seen[$need]=1
            is_met "$need" && continue
            missing+=("$need")
            [[ $kind == required ]] || optional[$need]=1
        done
    done
}

main() {
    local check_only='' groups=() optional_groups=() only_optional='' argument need
    missing=()
    declare -gA optional=() seen=()
    packages_to_install=()
    for argument in "$@"; do
        case $argument in
            -h | --help)
                usage
                exit 0
                ;;
            --check) check_only=1 ;;
            --optional) only_optional=1 ;;
            *)
                needs_of "$argument" >/dev/null || {
                    say "there is no group '$argument'"
                    usage >&2
                    exit 2
                }
                if [[ -n $only_optional ]]; then optional_groups+=("$argument"); else groups+=("$argument"); fi
                ;;
        esac
    done
    ((${#groups[@]} + ${#optional_groups[@]})) || groups=(build run test)
    [[ ${POLIS_SKIP_DEPS:-} != 1 ]] || exit 0
    sh "$(dirname -- "${BASH_SOURCE[0]}")/system.sh" || exit 1

    read_installed
    find_missing required "${groups[@]}"
    find_missing optional "${optional_groups[@]}"
    ((${#missing[@]})) || exit 0
    [[ -z $check_only ]] || die "missing: $(all_in_words)"
    install_missing
}

main "$@"
