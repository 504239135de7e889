#!/bin/bash
# Put the services that dependencies.yml lists back to how they were, and wait until they are well.
# Environment: RESET_SECONDS (how long to wait for each; default 900).
set -euo pipefail

readonly utils=${UTILS:-/utils}
readonly control=http://the-agent-company.com:2999/api
readonly patience=${RESET_SECONDS:-900}

declared() {
    sed -nE "s/^[[:space:]]*-[[:space:]]*[\"']?([a-z]+).*/\1/p" "$utils/dependencies.yml"
}

well() {
    [ "$(curl --silent --head --max-time 10 --output /dev/null --write-out '%{http_code}' \
        "$control/healthcheck/$1")" = 200 ]
}

wait_for() {
    local deadline=$((SECONDS + patience))
    until well "$1"; do
        if [ "$SECONDS" -ge "$deadline" ]; then
            echo "reset: $1 was not well within $patience s" >&2
            return 1
        fi
        sleep 1
    done
}

services=()
while read -r service; do
    case $service in
        rocketchat | plane | gitlab | owncloud) services+=("$service") ;;
        *)
            echo "reset: dependencies.yml names the unknown service $service" >&2
            exit 1
            ;;
    esac
done < <(declared)

for service in "${services[@]}"; do
    echo "reset: $service"
    curl --silent --show-error --fail --max-time "$patience" --output /dev/null \
        --request POST "$control/reset-$service"
done
for service in "${services[@]}"; do
    wait_for "$service"
done
