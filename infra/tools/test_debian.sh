#!/usr/bin/env bash
# Runs a command in a fresh clone of this commit on a bare Debian: a chroot made by debootstrap, with git and make and
# nothing else. Everything that the command installs or starts is gone afterwards. Needs root.
#   test_debian.sh SUITE [COMMAND ...]      default: make test      e.g. test_debian.sh trixie make test-unit
# CACHE (default /var/tmp/polis-debian) keeps the bare system and the downloaded packages for the next time.
# KEEP=1 keeps the chroot and says where it is.
set -euo pipefail

root=$(cd "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd -P)
cache=${CACHE:-/var/tmp/polis-debian}

say() { printf '==== %s\n' "$*" >&2; }
die() {
    printf 'test_debian: %s\n' "$*" >&2
    exit 2
}

(($# >= 1)) || die "usage: test_debian.sh SUITE [COMMAND ...]      SUITE: trixie (13), bookworm (12)"
suite=$1
shift
(($# > 0)) || set -- make test
((EUID == 0)) || die "debootstrap and chroot need root"
# Namespaces of its own: mounts and processes end with this script, however it ends.
# There it is process 1, which also says that clean_up ends nobody else's processes.
(($$ == 1)) || exec unshare --mount --pid --fork --kill-child -- "${BASH_SOURCE[0]}" "$suite" "$@"

base=$cache/$suite
archives=$cache/$suite-archives
system=$(mktemp -d "${TMPDIR:-/var/tmp}/polis-$suite.XXXXXXXX")

# shellcheck disable=SC2317  # called by the trap
clean_up() {
    local code=$?
    # What the command left running (epmd, for one) would keep the mounts busy. This is process 1 here: it stays.
    kill -KILL -1 2>/dev/null || true
    wait
    umount --recursive "$system" 2>/dev/null || true
    if [[ -n ${KEEP:-} ]]; then
        say "kept: $system"
    elif findmnt --list --noheadings --output TARGET | grep -qF -- "$system/"; then
        say "something is still mounted below $system: it stays"
    else
        rm -rf --one-file-system -- "$system"
    fi
    exit "$code"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

make_base() {
    [[ ! -e $base/complete ]] || return 0
    "$root/infra/tools/deps.sh" image
    say "debootstrap $suite into $base"
    rm -rf -- "$base"
    mkdir -p -- "$cache"
    debootstrap --variant=minbase --include=git,make,ca-certificates "$suite" "$base/rootfs" >&2
    touch "$base/complete"
}

mount_what_a_machine_has() {
    mount --bind "$system" "$system"  # so that one umount ends them all
    mount -t proc proc "$system/proc"
    mount -t sysfs -o ro sysfs "$system/sys" 2>/dev/null || true
    mount --rbind /dev "$system/dev"
    mount --make-rslave "$system/dev"
    # The host's own may be small, or not there.
    mount -t tmpfs -o mode=1777 tmpfs "$system/dev/shm"
    mkdir -p "$archives" "$system/var/cache/apt/archives"
    mount --bind "$archives" "$system/var/cache/apt/archives"
}

# What this machine knows about its network holds in the chroot, too.
share_network_settings() {
    cp -L /etc/resolv.conf "$system/etc/resolv.conf"
    printf '127.0.0.1 localhost\n' >"$system/etc/hosts"
    if compgen -G '/usr/local/share/ca-certificates/*.crt' >/dev/null; then
        cp /usr/local/share/ca-certificates/*.crt "$system/usr/local/share/ca-certificates/"
        chroot "$system" update-ca-certificates >/dev/null
    fi
    local file
    for file in .npmrc .config/pip/pip.conf .m2/settings.xml; do
        [[ ! -r $HOME/$file ]] || install -D -m 600 "$HOME/$file" "$system/root/$file"
    done
}

environment=(PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 "TERM=${TERM:-dumb}")
pass_on() {
    local name
    for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY PIP_INDEX_URL PIP_EXTRA_INDEX_URL \
        JOBS TEST_JOBS WERROR; do
        [[ -z ${!name:-} ]] || environment+=("$name=${!name}")
    done
}

make_base
say "copying the bare system"
cp -a --reflink=auto "$base/rootfs/." "$system/"
mount_what_a_machine_has
share_network_settings
pass_on
[[ -z $(git -C "$root" status --porcelain) ]] || say "uncommitted changes are not tested: this is $(git -C "$root" log -1 --format='%h %s')"
git clone --quiet --no-hardlinks -- "$root" "$system/root/polis"

say "$* on Debian $(<"$system/etc/debian_version")"
started=$SECONDS code=0
chroot "$system" /usr/bin/env -i "${environment[@]}" bash -c 'cd /root/polis && exec "$@"' - "$@" </dev/null || code=$?
say "exit code $code after $((SECONDS - started)) s"
exit "$code"
