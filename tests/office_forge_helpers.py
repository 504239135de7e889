"""A forge for tests: an office with one rich project, and clients for it."""

import os
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gitlab
import requests
from gitlab.v4.objects import Project
from office_helpers import ServedOffice

ATLAS: dict[str, Any] = {
    "path": "root/atlas",
    "description": "Maps of everything",
    "members": {"alex_turner": "developer", "sarah_johnson": "maintainer"},
    "commits": [
        {
            "message": "Begin",
            "at": "2026-01-05T10:00:00Z",
            "files": {
                "README.md": "# Atlas\n\nMaps & <charts>\n",
                "src/map.py": "def draw():\n    return 'map'\n",
            },
            "tag": "v1.0",
        },
        {"message": "Draw rivers", "from": "alex_turner", "files": {"src/river.py": "RIVERS = ['Po']\n"}},
        {
            "message": "Try colours",
            "from": "alex_turner",
            "branch": "feature/colour",
            "files": {"src/map.py": "def draw():\n    return 'colour map'\n"},
        },
    ],
    "labels": [{"name": "bug", "color": "#ff0000"}, {"name": "docs"}],
    "milestones": [{"title": "Spring", "due": "2026-06-01"}],
    "issues": [
        {
            "title": "Rivers flow uphill",
            "iid": 7,
            "from": "sarah_johnson",
            "assignees": ["alex_turner"],
            "labels": ["bug"],
            "milestone": "Spring",
            "notes": [{"from": "alex_turner", "text": "Looking into it"}],
        },
        {"title": "Legend is missing", "state": "closed"},
    ],
    "merge_requests": [
        {
            "title": "Colours",
            "from": "alex_turner",
            "source_branch": "feature/colour",
            "reviewers": ["sarah_johnson"],
            "description": "Closes #7",
        }
    ],
    "wiki": {"Home": "Welcome to the *atlas*", "How to draw": "With a pen, see https://example.org/pens"},
    "pipelines": [{"status": "success"}],
}
SECRET: dict[str, Any] = {
    "path": "vault/secret",
    "visibility": "private",
    "commits": [{"message": "Hide", "files": {"treasure.txt": "under the oak"}}],
    "issues": [{"title": "Buried treasure"}],
}
OVERLAY: dict[str, Any] = {"forge": {"projects": [ATLAS, SECRET]}}


def client(office: ServedOffice, username: str = "root") -> gitlab.Gitlab:
    """python-gitlab, signed in as somebody."""
    url = office.urls["forge"]
    if username == "root":
        return gitlab.Gitlab(url, private_token="root-token", timeout=30)
    return gitlab.Gitlab(url, oauth_token=token(office, username), timeout=30)


def token(office: ServedOffice, username: str) -> str:
    """An OAuth token, for a name and the password."""
    given = {"grant_type": "password", "username": username, "password": "theagentcompany"}
    answer = requests.post(f"{office.urls['forge']}/oauth/token", data=given, timeout=30)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


def new_project(office: ServedOffice, name: str, **settings: Any) -> Project:
    """A public project with a README, of its own for a test."""
    given = {"name": name, "visibility": "public", "initialize_with_readme": True, **settings}
    return client(office).projects.create(given)  # type: ignore[return-value]


def repository_url(
    office: ServedOffice, path: str, username: str = "", password: str = "theagentcompany"
) -> str:
    """For git, with credentials where a username is given."""
    url = f"{office.urls['forge']}/{path}.git"
    return url.replace("://", f"://{username}:{quote(password)}@") if username else url


def git(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The real git, without this machine's configuration."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(cwd),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_AUTHOR_NAME": "Tester",
        "GIT_AUTHOR_EMAIL": "tester@agentcompany.com",
        "GIT_COMMITTER_NAME": "Tester",
        "GIT_COMMITTER_EMAIL": "tester@agentcompany.com",
    }
    return subprocess.run(
        ["git", *map(str, arguments)], cwd=cwd, env=environment, capture_output=True, text=True, timeout=60
    )
