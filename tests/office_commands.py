"""The commands of sandboxes, laid out in a folder and run as processes against a served office."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tac_rl.office.verbs import sandbox_files

PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
"""With the Python that runs the tests first: another one would have to compile the modules."""


@dataclass
class Ran:
    status: int
    output: str
    error: str

    @property
    def lines(self) -> list[str]:
        return self.output.splitlines()


@dataclass
class Commands:
    """`commands("chat read general")` runs `chat` with two words."""

    folder: Path
    urls: dict[str, str]
    cwd: Path

    def __call__(self, line: str, *words: str) -> Ran:
        """`line` is split at spaces; `words` follow as they are."""
        service, *rest = line.split(" ")
        return self.run(service, *rest, *words)

    def run(self, service: str, *words: str) -> Ran:
        addresses = {f"OFFICE_{name.upper()}_URL": url for name, url in self.urls.items()}
        ran = subprocess.run(
            [self.folder / "bin" / service, *words],
            capture_output=True,
            timeout=30,
            cwd=self.cwd,
            env={"PATH": PATH, **addresses},
        )
        return Ran(ran.returncode, ran.stdout.decode(), ran.stderr.decode())

    def ok(self, line: str, *words: str) -> list[str]:
        """The lines of a command that must succeed."""
        ran = self(line, *words)
        assert (ran.status, ran.error) == (0, ""), ran
        return ran.lines


def lay_out(folder: Path, urls: dict[str, str]) -> Commands:
    """Write the files that a sandbox gets, and a working directory beside them."""
    for name, content in sandbox_files().items():
        path = folder / "office" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        if name.startswith("bin/"):
            path.chmod(0o755)
    (folder / "work").mkdir()
    return Commands(folder / "office", urls, folder / "work")


EVIL = '<script>alert(1)</script> \'; DROP TABLE chat_users; -- "x"'
OVERLAY: dict[str, Any] = {
    "people": [
        {"username": "theagentcompany", "name": "The Agent", "email": "agent@company.com", "admin": True},
        {"username": "alex_turner", "name": "Alex Turner", "title": "Engineer", "bio": "Backend engineer"},
        {"username": "sarah_johnson", "name": "Sarah Johnson", "title": "Lead"},
        {"username": "mike_chen", "name": "Mike Chen", "title": "Sales"},
    ],
    "chat": {
        "channels": [
            {
                "name": "general",
                "topic": "Anything",
                "members": "everyone",
                "messages": [
                    {"from": "alex_turner", "text": "good morning"},
                    {"from": "sarah_johnson", "text": EVIL},
                    {"from": "mike_chen", "text": "the code is 4711"},
                ],
            },
            {
                "name": "busy",
                "members": ["alex_turner"],
                "messages": [{"from": "alex_turner", "text": f"message {n}"} for n in range(130)],
            },
            {
                "name": "board",
                "private": True,
                "members": ["theagentcompany", "sarah_johnson"],
                "messages": [{"from": "sarah_johnson", "text": "in private"}],
            },
        ],
        "direct": [
            {
                "between": ["theagentcompany", "mike_chen"],
                "messages": [{"from": "mike_chen", "text": "call me"}],
            },
            {
                "between": ["sarah_johnson", "alex_turner"],
                "messages": [{"from": "sarah_johnson", "text": "just us"}],
            },
        ],
    },
    "forge": {
        "projects": [
            {
                "path": "root/api-server",
                "description": "Answers requests",
                "commits": [
                    {"message": "Begin", "files": {"README.md": "# API\n", "src/main.py": "print('hi')\n"}},
                    {"message": "Try", "branch": "try-this", "files": {"src/new.py": "x = 1\n"}},
                    {"message": "Other", "branch": "stale", "files": {"old.txt": "old\n"}},
                ],
                "labels": [{"name": "bug"}, {"name": "good first issue"}],
                "milestones": [{"title": "Version 2", "due": "2026-05-01"}],
                "members": {"alex_turner": "developer"},
                "issues": [
                    {
                        "title": "Login fails",
                        "iid": 12,
                        "description": EVIL,
                        "labels": ["bug"],
                        "assignees": ["alex_turner"],
                        "notes": [{"from": "mike_chen", "text": "still broken"}],
                    },
                    {"title": "Slow start", "iid": 13},
                    {"title": "Done already", "iid": 14, "state": "closed"},
                ],
                "merge_requests": [
                    {"title": "Try this", "source_branch": "try-this", "iid": 3, "from": "alex_turner"}
                ],
                "wiki": {"Team Rules": "Be kind.\n"},
            },
            {"path": "root/website"},
        ]
    },
    "tracker": {
        "projects": [
            {
                "name": "Frontend Development",
                "identifier": "FE",
                "labels": [{"name": "ui"}],
                "cycles": [
                    {"name": "Sprint 1", "start": "2026-03-02", "end": "2026-03-13"},
                    {"name": "Sprint 2"},
                ],
                "modules": [{"name": "Checkout"}],
                "issues": [
                    {
                        "title": "Broken button",
                        "number": 12,
                        "state": "In Progress",
                        "priority": "high",
                        "description": "It <b>fails</b> & burns",
                        "assignees": ["alex_turner"],
                        "labels": ["ui"],
                        "cycle": "Sprint 1",
                        "comments": [{"from": "sarah_johnson", "text": "seen too"}],
                    },
                    {"title": "New colours", "number": 13},
                ],
            }
        ]
    },
    "drive": {
        "files": {
            "Documents/year report.txt": "profit 12\n",
            "Documents/Money/bill.csv": "a,1\n",
            "Documents/raw.bin": "base64://AAEA==",
        },
        "folders": ["Empty"],
    },
}
"""A small company with something of everything."""
