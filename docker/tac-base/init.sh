#!/bin/bash
# Make a task's environment ready, in the order that TAC's packages count on:
#   the server's name, a reset of the services, pre_init, colleagues, populate_data, post_init.
# Environment: SERVER_HOSTNAME (where the services run; default: where their name leads, else this machine).
set -euo pipefail

readonly utils=${UTILS:-/utils} npc=${NPC:-/npc}
readonly name=the-agent-company.com

name_the_server() {
    if [ -z "${SERVER_HOSTNAME:-}" ] && getent hosts "$name" > /dev/null; then
        return
    fi
    local host=${SERVER_HOSTNAME:-localhost} address
    address=$(getent hosts "$host" | awk 'NR == 1 { print $1 }') || true
    if [ -z "$address" ]; then
        echo "init: the server $host has no address" >&2
        return 1
    fi
    printf '\n%s %s\n' "$address" "$name" >> /etc/hosts
}

run() {
    local script=$utils/$1
    [ -s "$script" ] || return 0
    echo "init: $1"
    case $script in
        *.sh) bash "$script" ;;
        *.py) python_default "$script" ;;
    esac
}

name_the_server
bash "$utils/reset.sh"
run pre_init.sh
run pre_init.py
if [ -f "$npc/scenarios.json" ]; then
    # The office's own colleagues know the scenario. Somebody else's may be started by the script that TAC has for it.
    if [ -f "$npc/run_multi_npc.py" ]; then
        python_default "$npc/run_multi_npc.py"
    else
        echo "init: the colleagues sit in the office"
    fi
fi
run populate_data.py
run post_init.sh
run post_init.py
