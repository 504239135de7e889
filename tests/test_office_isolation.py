"""From inside one attempt's sandbox: every way to another attempt's company that we could think of."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tac_rl.config.office import OfficeSection
from tac_rl.office.base import PORTS
from tac_rl.office.build import build_office
from tac_rl.office.overlay import parse_overlay
from tac_rl.office.process import EmbeddedOffice, Lease
from tac_rl.sandboxes.base import Sandbox, SandboxLimits
from tac_rl.tasks.company import connect, make_spec
from tests.sandbox_helpers import provider_of_kind

pytestmark = pytest.mark.usefixtures("sandbox_kind")

MARK = "quarterly-otter-secret"
"""Somewhere in every service of the other company, and nowhere in ours."""

OTHER = parse_overlay(
    {
        "chat": {"channels": [{"name": "hidden", "messages": [{"from": "alex_turner", "text": MARK}]}]},
        "forge": {
            "projects": [
                {
                    "path": "root/hidden",
                    "commits": [{"message": MARK, "files": {"secret.txt": MARK}}],
                    "issues": [{"title": MARK}],
                }
            ]
        },
        "tracker": {"projects": [{"name": MARK, "identifier": "HID", "issues": [{"title": MARK}]}]},
        "drive": {"files": {"hidden/secret.txt": MARK}},
    },
    "the other company",
)

# Each prints what it got; none may show the mark.
ATTEMPTS = {
    "ask every service for the other's things": """
        chat channels; chat read hidden; forge projects; forge issues hidden; forge cat hidden secret.txt
        tracker projects; tracker issues HID; drive ls; drive ls hidden; drive cat hidden/secret.txt""",
    "lead out of the drive": """
        for up in .. ../.. ../../.. ../../../..; do
          for rest in "" /drive/hidden/secret.txt /office.db; do
            for name in b other b-000000; do
              curl -s -m 5 --path-as-is -u theagentcompany:theagentcompany \
                "http://the-agent-company.com:8092/remote.php/webdav/$up/$name$rest"
              curl -s -m 5 --path-as-is -u theagentcompany:theagentcompany \
                "http://the-agent-company.com:8092/remote.php/webdav/$(echo $up | sed 's,/,%2f,g')%2f$name$rest"
            done
          done
        done""",
    "lead out of a repository": """
        for path in root/../hidden ../hidden root/hidden ..%2f..%2fb/repositories/1 root/../../../etc/passwd; do
          timeout 5 git -c http.proactiveAuth=basic clone -q \
            "http://root:theagentcompany@the-agent-company.com:8929/$path.git" got 2>&1
          cat got/* 2>/dev/null; rm -rf got
          curl -s -m 5 --path-as-is -H 'PRIVATE-TOKEN: root-token' \
            "http://the-agent-company.com:8929/api/v4/projects/$path/repository/files/secret.txt/raw?ref=main"
        done""",
    "ask by another name": """
        for port in 3000 8929 8091 8092 2999; do
          for host in b other localhost the-agent-company.com:3000 127.0.0.1:1; do
            curl -s -m 5 -H "Host: $host" -H "X-Forwarded-Host: $host" -H "X-Tenant: b" \
              -H "Forwarded: host=$host" "http://127.0.0.1:$port/"
          done
        done""",
    "look for sockets and files": """
        cat /proc/net/unix /proc/net/tcp /proc/mounts 2>/dev/null
        find / -xdev \\( -name '*.db' -o -type s -o -name 'repositories' \\) 2>/dev/null
        grep -rl "$(echo quarterly-otter)-secret" /opt /run /tmp /home /workspace /etc 2>/dev/null""",
    "inject into queries": """
        for text in "' OR 1=1 --" "x' UNION SELECT text FROM chat_messages --" \
          "'; ATTACH DATABASE '../b/office.db' AS b; --" "%"; do
          chat search "$text"; chat people "$text"; drive find "$text"
          curl -s -m 5 -G -H 'PRIVATE-TOKEN: root-token' \
            --data-urlencode "search=$text" --data-urlencode "scope=issues" \
            http://the-agent-company.com:8929/api/v4/search
        done""",
}

_PORTS = "grep -h ' 0A ' /proc/net/tcp /proc/net/tcp6 | awk '{print $2}' | cut -d: -f2"
"""The local ports, in hexadecimal, of whatever listens in the network namespace."""


async def _two_companies(attack: Callable[[Sandbox, Sandbox], Awaitable[None]]) -> None:
    office = build_office(OfficeSection())
    assert isinstance(office, EmbeddedOffice)
    provider = provider_of_kind()
    leases: list[Lease] = []
    sandboxes: list[Sandbox] = []
    try:
        for name, overlays in (("a", []), ("b", [OTHER])):
            leases.append(await office.lease(name, "bare", overlays))
            sandboxes.append(
                await provider.start(make_spec(name, SandboxLimits(output_bytes=1 << 20), office))
            )
            await connect(leases[-1], sandboxes[-1])
        await attack(*sandboxes)
    finally:
        for sandbox in sandboxes:
            await sandbox.stop()
        for lease in leases:
            await lease.close()
        await office.stop()
        await provider.close()


class Attack:
    """One attempt to reach the other company, and the proof that it would have been seen."""

    def __init__(self, command: str) -> None:
        self._command = command

    async def __call__(self, mine: Sandbox, other: Sandbox) -> None:
        seen = await other.exec("chat read hidden; forge cat hidden secret.txt; drive cat hidden/secret.txt")
        assert seen.output.count(MARK) == 3, seen.output
        result = await mine.exec(self._command, timeout_s=60)
        assert not result.timed_out, result.output[-1000:]
        assert MARK not in result.output, result.output
        alive = await mine.exec("chat read general 1")
        assert alive.exit_code == 0, alive.output


@pytest.mark.parametrize("way", sorted(ATTEMPTS))
def test_no_way_leads_to_another_company(way: str) -> None:
    asyncio.run(_two_companies(Attack(ATTEMPTS[way])))


def test_a_sandbox_has_the_offices_ports_and_no_other() -> None:
    async def attack(mine: Sandbox, other: Sandbox) -> None:
        result = await mine.exec(_PORTS)
        assert sorted(int(port, 16) for port in result.output.split()) == sorted(PORTS.values())

    asyncio.run(_two_companies(attack))
