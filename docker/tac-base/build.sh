#!/bin/bash
# Build the base image for TAC's packages: docker/tac-base/build.sh CHECKOUT [docker build options...]
#
# CHECKOUT is a checkout of TAC's repository; its common.py, config.py and scoring.py and the pins of its
# packages go into the image. It builds on tac-rl/base:trixie (docker/build_base.sh, called where that isn't there).
# Building this image needs Debian's packages and a Python index; building the packages' images then needs no network.
# Environment: PYTHON (with tac_rl installed; default python3), IMAGE (the name that TAC's Dockerfiles say),
# PIP_INDEX_URL and PIP_CERT (as pip understands them on this machine).
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly here kit=$here/../../tac_rl/tac/kit
readonly image=${IMAGE:-ghcr.io/theagentcompany/task-base-image:1.0.0}
readonly python=${PYTHON:-python3}
readonly build_seconds=3600

if [ $# -lt 1 ] || [ ! -d "$1/workspaces/base_image" ]; then
    echo "usage: $0 CHECKOUT [docker build options...]; CHECKOUT holds workspaces/base_image" >&2
    exit 2
fi
readonly checkout=$1
shift

context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
mkdir "$context/utils" "$context/settings"
cp "$here/Dockerfile" "$here/requirements.txt" "$context/"
cp "$here/init.sh" "$here/reset.sh" "$kit/eval.py" "$kit/encrypt.py" "$context/utils/"
for name in common.py config.py scoring.py; do
    cp "$checkout/workspaces/base_image/$name" "$context/utils/"
done
"$python" -m tac_rl.tac pins "$checkout" > "$context/pins.txt"
# What is pinned to one version, and isn't a requirement of the image's own with another.
awk -F '==' 'NF == 2 { seen[$1]++; line[$1] = $0 } END { for (name in seen) if (seen[name] == 1) print line[name] }' \
    "$context/pins.txt" | sort > "$context/single.txt"
while read -r name; do
    sed -i "/^$name==/d" "$context/single.txt"
done < <(sed -nE 's/^([A-Za-z][A-Za-z0-9-]*).*/\1/p' "$here/requirements.txt")
{
    echo '[global]'
    [ -z "${PIP_INDEX_URL:-}" ] || echo "index-url = $PIP_INDEX_URL"
    [ -z "${PIP_CERT:-}" ] || echo 'cert = /settings/cert.pem'
} > "$context/settings/pip.conf"
[ -z "${PIP_CERT:-}" ] || cp "$PIP_CERT" "$context/settings/cert.pem"
if [ -n "${CONTEXT_ONLY:-}" ]; then # For looking at it.
    cp -r "$context/." "$CONTEXT_ONLY"
    exit
fi
"$here/../build_base.sh"
timeout "$build_seconds" docker build --tag "$image" --label org.tac-rl.kind=tac-base "$@" "$context"
