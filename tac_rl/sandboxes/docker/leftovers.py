"""What dead processes left in Docker: containers, volumes, and images of ours that nothing starts from again.

Only what carries our labels is ever looked at. Volumes we make none, and a container's anonymous ones go with
it; one that carries an owner's label is treated like the owner's containers all the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from docker.errors import APIError, NotFound

from tac_rl.sandboxes.docker import labels
from tac_rl.sandboxes.docker.containers import remove
from tac_rl.sandboxes.docker.daemon import Api
from tac_rl.sandboxes.docker.images import DEFAULT


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


def find_volumes(api: Api) -> list[DockerLeftover]:
    """Volumes whose owner is gone."""
    found = []
    for entry in api.volumes(filters={"label": labels.OWNER}).get("Volumes") or ():
        marks = entry.get("Labels") or {}
        if labels.is_orphan(marks, running=False):
            detail = f"owner {marks.get(labels.OWNER, '?')} is gone"
            found.append(DockerLeftover("volume", entry["Name"], entry["Name"], detail))
    return found


def find_images(api: Api, *, all_ours: bool = False) -> list[DockerLeftover]:
    """Images of sandboxes and tasks that have no name any more or whose files have changed since.

    `all_ours`: all images of sandboxes and tasks; they are built again when they are needed.
    """
    found = []
    for entry in api.images(filters={"label": labels.CONTENT}):
        names = [name for name in entry.get("RepoTags") or () if name != "<none>:<none>"]
        superseded = not names or (_is_default(names) and f"{DEFAULT}:latest" not in names)
        if superseded or all_ours:
            size = f"{entry.get('Size', 0) / 1e6:.0f} MB"
            detail = f"{size}, {'superseded' if superseded else 'built again when needed'}"
            found.append(DockerLeftover("image", entry["Id"], ", ".join(names) or entry["Id"][:19], detail))
    return found


def _is_default(names: Sequence[str]) -> bool:
    return any(name.startswith(f"{DEFAULT}:") for name in names)


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
                api.remove_image(leftover.id, force=True)  # With all its names; not where a container has it.
        except NotFound:
            pass
        except APIError:  # In use after all.
            continue
        gone.append(leftover)
    return gone


def sweep_docker(api: Api) -> list[DockerLeftover]:
    """Remove containers and volumes of dead owners; what was removed is returned.

    Images stay: another checkout of the program may be using them. `tac-rl sandbox cleanup` asks.
    """
    return remove_leftovers(api, [*find_containers(api), *find_volumes(api)])
