"""What every kind of sandbox tells its server at the start."""

from collections.abc import Mapping
from typing import Any

from tac_rl.sandboxes.base import SandboxLimits

AGENT_ID = 1000
"""User and group of the commands, as seen inside."""

ENVIRONMENT: Mapping[str, str] = {
    "HOME": "/home/agent",
    "USER": "agent",
    "LOGNAME": "agent",
    "SHELL": "/bin/bash",
    "LANG": "C.UTF-8",
    "TZ": "UTC",
    "TERM": "dumb",
    "PAGER": "cat",
    "GIT_PAGER": "cat",
    "GIT_TERMINAL_PROMPT": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
}
"""The commands' variables; PATH is the kind's to say."""

HOSTS = "127.0.0.1 localhost the-agent-company.com\n"
"""/etc/hosts of a sandbox without a network."""

SERVER_START = "import sys; sys.path.insert(0, '/run/server'); from inside.main import main; main()"
"""Python that starts the server; its arguments are the socket and the ports."""

SERVER_SOCKET = "/run/control/s"


def make_settings(
    limits: SandboxLimits,
    env: Mapping[str, str],
    *,
    uid: int | None,
    mount_disk: bool,
    count_by_user: bool,
) -> dict[str, Any]:
    """The server's first request.

    `uid`: whom the commands run as; None where the server itself is that user. `mount_disk`: whether the
    server lays out the writable folders. `count_by_user`: whether the kernel may count processes by their
    user, which it can where no other sandbox has the same one.
    """
    return {
        "uid": uid,
        "mount_disk": mount_disk,
        "count_by_user": count_by_user,
        "memory_bytes": limits.memory_mb << 20,
        "disk_bytes": limits.disk_mb << 20,
        "processes": limits.processes,
        "env": dict(env),
    }
