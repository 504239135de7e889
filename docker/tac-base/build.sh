#!/bin/bash
# Build the base image for TAC's packages: docker/tac-base/build.sh CHECKOUT [docker build options...]
#
# CHECKOUT is a checkout of TAC's repository; its common.py, config.py and scoring.py and the pins of its
# packages go into the image. Building this image needs a network; building the packages' images then doesn't.
# Environment: PYTHON (with tac_rl installed; default python3), IMAGE (the name that TAC's Dockerfiles say).
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly here kit=$here/../../tac_rl/tac/kit
readonly image=${IMAGE:-ghcr.io/theagentcompany/task-base-image:1.0.0}
readonly python=${PYTHON:-python3}

if [ $# -lt 1 ] || [ ! -d "$1/workspaces/base_image" ]; then
    echo "usage: $0 CHECKOUT [docker build options...]; CHECKOUT holds workspaces/base_image" >&2
    exit 2
fi
readonly checkout=$1
shift

context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
mkdir "$context/utils"
cp "$here/Dockerfile" "$here/requirements.txt" "$context/"
cp "$here/init.sh" "$here/reset.sh" "$kit/eval.py" "$kit/encrypt.py" "$context/utils/"
for name in common.py config.py scoring.py; do
    cp "$checkout/workspaces/base_image/$name" "$context/utils/"
done
"$python" -m tac_rl.tac pins "$checkout" > "$context/pins.txt"
if [ -n "${CONTEXT_ONLY:-}" ]; then # For looking at it.
    cp -r "$context/." "$CONTEXT_ONLY"
    exit
fi
docker build --tag "$image" "$@" "$context"
