#!/usr/bin/env bash
# Builds the image without a Docker engine and without a registry: the base comes from debootstrap, the rest from
# buildah in a plain chroot. Then it runs every program of the image once, as the image's user. Needs root.
#   build_with_buildah.sh [IMAGE]       default: polis:latest
# CACHE (default /var/tmp/polis-image) keeps the base for the next time; JOBS limits the compiler.
set -euo pipefail

root=$(cd "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd -P)
image=${1:-polis:latest}
cache=${CACHE:-/var/tmp/polis-image}
base=localhost/polis-base:debian-12

say() { printf '==== %s\n' "$*"; }
((EUID == 0)) || {
    echo "build_with_buildah.sh: debootstrap and the chroot need root" >&2
    exit 1
}
cd "$root"
infra/tools/deps.sh image
export BUILDAH_ISOLATION=chroot STORAGE_DRIVER=${STORAGE_DRIVER:-vfs}

container=
trap '[[ -z $container ]] || buildah rm "$container" >/dev/null' EXIT

if ! buildah inspect --type image "$base" >/dev/null 2>&1; then
    say "base image $base"
    mkdir -p "$cache"
    if [[ ! -x $cache/rootfs/usr/bin/apt-get ]]; then
        rm -rf "$cache/rootfs"
        debootstrap --variant=minbase bookworm "$cache/rootfs"
        rm -rf "$cache"/rootfs/var/cache/apt/archives/*.deb "$cache"/rootfs/var/lib/apt/lists/*
    fi
    container=$(buildah from scratch)
    buildah add --quiet "$container" "$cache/rootfs" /
    buildah config --cmd /bin/bash --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
    buildah commit --quiet "$container" "$base"
    buildah rm "$container" >/dev/null
    container=
fi

say "image $image"
buildah bud --build-arg "BASE=$base" ${JOBS:+--build-arg "JOBS=$JOBS"} --file infra/docker/Dockerfile --tag "$image" .

say "its programs, run as its user"
container=$(buildah from "$image")
buildah run "$container" -- id
# shellcheck disable=SC2016  # the shell of the container expands it
buildah run "$container" -- bash -ec 'for program in /usr/local/bin/polis-*; do "$program" --version; done'
buildah images "$image"
