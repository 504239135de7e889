#!/bin/bash
# Make tac-rl/system, the image of all services in docker/compose.yaml. `--help` says how.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
python=${PYTHON:-$root/.venv/bin/python}
cpu_index=${TORCH_INDEX:-https://download.pytorch.org/whl/cpu}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/tac-rl/system-image
readonly here root python cpu_index cache
readonly make_seconds=1800 torch='torch>=2.8,<3'
# Have no wheels on PyPI; they are pure Python, so that any interpreter makes the right one.
readonly sources_only=(odfpy)

usage() {
    cat <<TEXT
usage: docker/tac-rl/build.sh [--gpu] [--force]

Makes the image tac-rl/system (with --gpu: tac-rl/system:gpu) on Debian bookworm with Python 3.11. pip gathers the
libraries on this machine, as it is configured here; the build takes them from there. What is there is not made again.

  --gpu    with the CUDA build of torch, for the learner of the profile gpu
  --force  gather the libraries again

Environment: PYTHON (whose pip gathers; default .venv/bin/python), TORCH_INDEX (of torch's CPU build), MIRROR and
XDG_CACHE_HOME (as for docker/build_base.sh).
TEXT
}

fail() {
    echo "docker/tac-rl/build.sh: $1" >&2
    exit 1
}

try_pip() {
    timeout "$make_seconds" "$python" -m pip --disable-pip-version-check --quiet "$@" 2>> "$cache/log"
}

pip() {
    try_pip "$@" || { tail -n 3 "$cache/log" >&2; fail "pip could not gather the libraries (log: $cache/log)"; }
}

requirements() {
    "$python" -c 'import sys, tomllib
print(*tomllib.load(open(sys.argv[1], "rb"))["project"]["dependencies"], sep="\n")' "$root/pyproject.toml"
}

# Every library for Python 3.11, unpacked into one folder.
gather() {
    local work=$1 wanted=()
    mkdir -p "$work/wheels" "$work/context"
    requirements > "$work/requirements.txt"
    pip wheel --no-deps --wheel-dir "$work/wheels" "${sources_only[@]}"
    if [ "$tag" != gpu ]; then
        # A wheel that pip already sees (a wheel folder of this machine) is taken first, else PyTorch's CPU index serves one.
        local where=(--no-deps --only-binary=:all: --python-version 3.11 --dest "$work/wheels")
        try_pip download "${where[@]}" --no-index "$torch" || pip download "${where[@]}" --index-url "$cpu_index" "$torch"
        wanted=("torch==$(cd "$work/wheels" && echo torch-* | cut -d - -f 2)")
    fi
    pip install --target "$work/context/site" --no-compile --python-version 3.11 --only-binary=:all: \
        --find-links "$work/wheels" "${wanted[@]}" --requirement "$work/requirements.txt"
    rm -rf "$work/context/site/torch/test" "$work/context/site/torch/include" "$work/context/site/bin"
}

tag=latest force=
while [ $# -gt 0 ]; do
    case $1 in
        --gpu) tag=gpu ;;
        --force) force=yes ;;
        -h | --help) usage && exit ;;
        *) usage >&2 && exit 2 ;;
    esac
    shift
done
[ -x "$python" ] || fail "$python is not there: run ./setup.sh, or name an interpreter in PYTHON"

"$root/docker/build_base.sh" --suite bookworm
base=$(docker image inspect --format '{{.Id}}' tac-rl/base:bookworm)
recipe=$({ echo "$base $tag" && requirements && cat "$here/Dockerfile.libraries" && declare -f gather; } | sha256sum | cut -c 1-16)
libraries=tac-rl/libraries:$recipe
if [ -n "$force" ] || ! docker image inspect "$libraries" > /dev/null 2>&1; then
    mkdir -p "$cache" && : > "$cache/log"
    work=$(mktemp -d "$cache/work-XXXXXX")
    trap 'rm -rf "$work"' EXIT
    echo "docker/tac-rl/build.sh: gathering the libraries"
    gather "$work"
    # The host's network is for Debian's packages only.
    timeout "$make_seconds" docker build --quiet --network host --label org.tac-rl.kind=libraries --tag "$libraries" \
        --file "$here/Dockerfile.libraries" "$work/context" > /dev/null \
        || fail "the libraries' image could not be made"
fi
# The program and what it reads, without what lies beside them.
tar --create --directory "$root" --exclude '__pycache__' --transform 's,^,app/,' tac_rl tasks configs docker/tac-rl \
    | timeout "$make_seconds" docker build --quiet --network none --label org.tac-rl.kind=system \
        --build-arg "LIBRARIES=$libraries" --tag "tac-rl/system:$tag" --file app/docker/tac-rl/Dockerfile - > /dev/null \
    || fail "the image could not be made"
size=$(docker image inspect --format '{{.Size}}' "tac-rl/system:$tag")
echo "docker/tac-rl/build.sh: made tac-rl/system:$tag in $SECONDS s, $((size / 1000000)) MB"
