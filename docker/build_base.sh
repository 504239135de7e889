#!/bin/bash
# Make tac-rl/base:SUITE, the images that all others of this project build on. `--help` says how.
set -euo pipefail

suite=trixie
readonly mirror=${MIRROR:-http://deb.debian.org/debian}
readonly keyring=/usr/share/keyrings/debian-archive-keyring.gpg
readonly work=${XDG_CACHE_HOME:-$HOME/.cache}/tac-rl/base-image
readonly ask_seconds=30 pull_seconds=300 make_seconds=1800

# What an agent's shell is expected to have. Debian's essential packages (bash, coreutils, grep, sed, tar ...) are there anyway.
readonly packages=(ca-certificates curl git less patch procps python3 sqlite3 unzip zip)
# Nobody reads these in a sandbox, and they are a third of the image.
readonly unwanted=(usr/share/doc usr/share/man usr/share/info usr/share/locale usr/share/lintian)

usage() {
    cat <<TEXT
usage: docker/build_base.sh [--suite trixie|bookworm] [--from registry|debootstrap] [--force]

Makes the image tac-rl/base:SUITE (Debian with ${packages[*]}).
Where it is there already, made by this very recipe, nothing is done.

  --suite SUITE       the release of Debian (default: $suite); bookworm has Python 3.11, trixie 3.13
  --from registry     on top of debian:SUITE-slim, which is pulled
  --from debootstrap  without a registry, from Debian's packages alone; needs root and debootstrap
                      (default: registry where one can be reached, else debootstrap)
  --force             make it again

Environment: MIRROR (where Debian's packages come from; default http://deb.debian.org/debian),
http_proxy, XDG_CACHE_HOME (debootstrap works in tac-rl/base-image there; it needs 1 GB for a minute).
TEXT
}

fail() {
    echo "build_base: $1" >&2
    exit 1
}

# What the image is made of: other packages or other steps make another image.
recipe() {
    { echo "$suite ${packages[*]} ${unwanted[*]}" && declare -f from_registry from_debootstrap tidy; } \
        | sha256sum | cut -c 1-16
}

there() {
    [ "$(docker image inspect --format '{{index .Config.Labels "org.tac-rl.recipe"}}' "$image" 2> /dev/null)" = "$(recipe)" ]
}

from_registry() {
    timeout "$make_seconds" docker build --quiet --tag "$image" --label org.tac-rl.kind=base \
        --label "org.tac-rl.recipe=$(recipe)" - > /dev/null <<DOCKERFILE
FROM $parent
RUN sed -i 's,http://deb.debian.org/debian\$,$mirror,' /etc/apt/sources.list.d/debian.sources \\
    && apt-get update \\
    && apt-get install --yes --no-install-recommends ${packages[*]} \\
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/* ${unwanted[*]/#/\/}
CMD ["bash"]
DOCKERFILE
}

from_debootstrap() {
    [ "$(id -u)" = 0 ] || fail "no registry can be reached, and debootstrap needs root: run sudo $0"
    command -v debootstrap > /dev/null || fail "debootstrap is missing: apt-get install debootstrap"
    [ -f "$keyring" ] || fail "$keyring is missing: apt-get install debian-archive-keyring"
    mkdir -p -m 0700 "$work"
    exec 9> "$work/lock"
    flock --timeout "$make_seconds" 9 || fail "another build still holds $work/lock"
    # Also what a killed build left behind: its mounts went with its mount namespace.
    rm -rf --one-file-system "$work/root"
    trap 'rm -rf --one-file-system "$work/root"' EXIT
    # Nothing needs to be safe on disk before the image is made.
    mkdir -p "$work/root/etc/dpkg/dpkg.cfg.d"
    echo force-unsafe-io > "$work/root/etc/dpkg/dpkg.cfg.d/build"
    echo "build_base: debootstrap of $suite from $mirror"
    if ! timeout "$make_seconds" unshare --mount --propagation private \
        debootstrap --variant=minbase --keyring="$keyring" --include="$(IFS=,; echo "${packages[*]}")" \
        "$suite" "$work/root" "$mirror" > "$work/log" 2>&1; then
        tail -n 5 "$work/log" >&2
        fail "debootstrap failed (log: $work/log); MIRROR names another mirror, http_proxy a proxy"
    fi
    tidy "$work/root"
    local epoch
    epoch=$(stat --format %Y "$work/root/usr/lib/os-release")
    tar --create --directory "$work/root" --one-file-system --numeric-owner --sort=name \
        --mtime="@$epoch" --clamp-mtime . \
        | timeout "$make_seconds" docker import \
            --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
            --change 'CMD ["bash"]' --change 'LABEL org.tac-rl.kind=base' \
            --change "LABEL org.tac-rl.recipe=$(recipe)" - "$image" > /dev/null
}

# Remove what is of no use in an image, and what differs from one build to the next.
tidy() {
    local root=$1 name
    for name in "${unwanted[@]}"; do
        find "$root/$name" -mindepth 1 -delete 2> /dev/null || true
    done
    find "$root/var/cache/apt" "$root/var/lib/apt/lists" "$root/var/log" "$root/var/cache/ldconfig" -type f -delete
    # Compiled anew, without times in it: a container's root is read-only, and Python would compile at every start.
    find "$root" -xdev -name '*.pyc' -delete
    timeout "$make_seconds" chroot "$root" sh -c \
        'python3 -m compileall -q --invalidation-mode unchecked-hash /usr/lib/python3 /usr/lib/python3.*' \
        || fail "the image's Python can't be compiled"
    rm -f "$root/etc/hostname" "$root/etc/resolv.conf" "$root/etc/machine-id" "$root/var/lib/dbus/machine-id"
    rm -f "$root/etc/dpkg/dpkg.cfg.d/build" "$root"/etc/*- "$root"/var/cache/debconf/*-old "$root"/var/lib/dpkg/*-old
}

source= force=
while [ $# -gt 0 ]; do
    case $1 in
        --suite)
            suite=${2:-missing}
            shift $(($# > 1))
            ;;
        --from)
            source=${2:-missing}
            shift $(($# > 1))
            ;;
        --force) force=yes ;;
        -h | --help) usage && exit ;;
        *) usage >&2 && exit 2 ;;
    esac
    shift
done
case $suite in
    trixie | bookworm) ;;
    *) usage >&2 && exit 2 ;;
esac
readonly suite image=tac-rl/base:$suite parent=debian:$suite-slim
case $source in
    '' | registry | debootstrap) ;;
    *) usage >&2 && exit 2 ;;
esac

timeout "$ask_seconds" docker version > /dev/null 2>&1 \
    || fail "docker doesn't answer: start it, or join the group that may use it (docker version says more)"
if [ -z "$force" ] && there; then
    echo "build_base: $image is there"
    exit
fi
if [ "$source" != debootstrap ]; then
    if docker image inspect "$parent" > /dev/null 2>&1 || timeout "$pull_seconds" docker pull --quiet "$parent" > /dev/null 2>&1; then
        source=registry
    elif [ "$source" = registry ]; then
        fail "$parent could not be pulled: docker pull $parent says why; --from debootstrap needs no registry"
    else
        source=debootstrap
    fi
fi
before=$(docker image inspect --format '{{.Id}}' "$image" 2> /dev/null || true)
"from_$source"
after=$(docker image inspect --format '{{.Id}}' "$image")
if [ -n "$before" ] && [ "$before" != "$after" ]; then
    docker image rm "$before" > /dev/null 2>&1 || true # Kept where other images are built on it.
fi
size=$(docker image inspect --format '{{.Size}}' "$image")
echo "build_base: made $image from $source in $SECONDS s, $((size / 1000000)) MB"
