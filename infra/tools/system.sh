#!/bin/sh
# Says whether Polis can be built on this system, and if not, what it needs and what to do. Exit: 0 yes, 1 no.
# Plain POSIX sh, because this is what runs where there is no bash.
set -eu

# What deps.sh installs where there is apt, in words that hold everywhere. The versions are the oldest ones tried.
what_polis_needs() {
    cat <<'TEXT'
  to build     g++ 12, GNU make 4, CMake 3.25, Ninja, pkg-config, bash 4.4, Python 3.9
  libraries    Boost 1.81 with Boost.JSON and Boost.URL, SOCI 4.0 with its PostgreSQL backend, libpq 14, fmt 9,
  (headers)    spdlog 1.10, prometheus-cpp 1.0, librdkafka 2.0, rabbitmq-c 0.11, Avro C 1.11, OpenSSL 3.0,
               libcurl 7.88, yaml-cpp 0.7, CLI11 2.3, doctest 2.4.9, zlib
  to run       PostgreSQL 14 or later with its server programs, curl, util-linux (flock, setpriv, setsid)
  optional     Node.js 18 with npm: without it the pages /docs, /redoc and /console are left out
TEXT
}

in_a_container() {
    cat <<'TEXT'
With Docker or Podman and their compose command you need none of this:  make setup
TEXT
}

on_another_kind_of_system() {
    echo "Polis runs on Linux only, and this is $1."
    echo
    in_a_container
    echo "Or use a virtual machine with Debian 12 or 13 or Ubuntu 24.04: there 'make run' installs all that it needs."
}

without() {
    echo "This system has no $1, so 'make' cannot install by itself what Polis needs."
    echo
    echo "On Debian 12 and 13 and on Ubuntu 24.04 it can. Elsewhere install these (or later versions) first:"
    echo
    what_polis_needs
    echo
    echo "then tell make that you have:  POLIS_SKIP_DEPS=1 make run"
    in_a_container
}

missing_programs() {
    for program in g++ cmake ninja pkg-config python3; do
        command -v "$program" >/dev/null || printf ' %s' "$program"
    done
}

without_programs() {
    echo "POLIS_SKIP_DEPS=1 says that all is installed, but these programs are not in PATH:$1"
    echo
    echo "Polis needs these, or later versions:"
    echo
    what_polis_needs
}

system=$(uname -s)
if [ "$system" = Darwin ]; then
    on_another_kind_of_system macOS >&2
elif [ "$system" != Linux ]; then
    on_another_kind_of_system "$system" >&2
elif ! command -v bash >/dev/null; then
    without bash >&2
elif [ "${POLIS_SKIP_DEPS:-}" = 1 ]; then
    missing=$(missing_programs)
    [ -n "$missing" ] || exit 0
    without_programs "$missing" >&2
elif ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
    without apt-get >&2
else
    exit 0
fi
exit 1
