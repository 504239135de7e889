"""What dead processes left in Docker: containers, and images of ours that nothing would be started from again.

Only what carries our labels is ever looked at. Volumes are none of ours: a container has no named one, and its
anonymous ones go with it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from docker.errors import APIError, NotFound

from tac_rl.sandboxes.docker import labels
from tac_rl.sandboxes.docker.containers import remove
from tac_rl.sandboxes.docker.daemon import Api


@dataclass(frozen=True)
class DockerLeftover:
    """Something of ours that nobody needs."""

    what: Literal["container", "volume", "image"]
    id: str
    name: str
    detail: str


def find_containers(api: Api) -> list[DockerLeftover]:
    """Containers whose owner is gone."""
    found = []
    for entry in api.containers(all=True, filters={"label": [f"{labels.KIND}=sandbox", labels.OWNER]}):
        marks = entry.get("Labels") or {}
        if labels.is_orphan(marks, running=entry.get("State") == "running"):
            name = (entry.get("Names") or ["?"])[0].lstrip("/")
            detail = f"{entry.get('Status', '')}, owner {marks.get(labels.OWNER, '?')} is gone"
            found.append(DockerLeftover("container", entry["Id"], name, detail))
    return found


def remove_leftovers(api: Api, leftovers: Sequence[DockerLeftover]) -> list[DockerLeftover]:
    """Remove them; gives those that are gone now."""
    gone = []
    for leftover in leftovers:
        try:
            if leftover.what == "container":
                remove(api, leftover.id)
            elif leftover.what == "volume":
                api.remove_volume(leftover.id)
            else:
                api.remove_image(leftover.id)
        except NotFound:
            pass
        except APIError:  # In use after all.
            continue
        gone.append(leftover)
    return gone


def sweep_containers(api: Api) -> list[DockerLeftover]:
    """Remove the containers of dead owners; what was removed is returned."""
    return remove_leftovers(api, find_containers(api))
